//! The hot paths of a server, for a program that counts their instructions: `cargo xtask instructions`.
//!
//! Times differ from run to run by a factor on a shared machine, instructions by a hundredth. So what a request costs is
//! guarded by counting, under `valgrind --tool=callgrind`: it sets all counts to zero when [`measured`] begins and writes
//! them down when it ends. Counted is the work of all threads, from the edge to the end of the audit log's line; sockets,
//! TLS and HTTP's parsing are not.
//!
//! Run by itself it only sends the requests.

mod cases;
mod world;

use http::Request;
use http_body_util::Full;
use tokio::runtime::Runtime;

use cases::CASES;
use world::World;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let world = runtime.block_on(World::new())?;
    for case in CASES {
        let requests = |count| (0..count).map(|_| case.ask.request(&world)).collect::<Result<Vec<_>>>();
        // Caches are filled, as they are in a server that has been running for a moment.
        runtime.block_on(world.answer(requests(WARMING)?))?;
        measured(&runtime, &world, requests(case.requests)?)?;
        println!("{} {}", case.name, case.requests);
    }
    runtime.block_on(world.close())
}

/// The function between whose beginning and end instructions are counted; callgrind knows it by this name.
#[inline(never)]
fn measured(runtime: &Runtime, world: &World, requests: Vec<Request<Full<bytes::Bytes>>>) -> Result<()> {
    runtime.block_on(world.answer(requests))
}

const WARMING: u32 = 20;
