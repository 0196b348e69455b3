//! Which part of the program a stack belongs to, by the names of its frames.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A part of the program, or of what it stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    KernelNetwork,
    KernelFiles,
    KernelThreads,
    KernelOther,
    Allocation,
    Tls,
    Http,
    Requests,
    Json,
    Authorization,
    Audit,
    Store,
    Crypto,
    Core,
    Runtime,
    Other,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::KernelNetwork => "kernel: network",
            Self::KernelFiles => "kernel: files",
            Self::KernelThreads => "kernel: threads, waiting",
            Self::KernelOther => "kernel: other",
            Self::Allocation => "allocation",
            Self::Tls => "TLS",
            Self::Http => "HTTP",
            Self::Requests => "routing, answers",
            Self::Json => "JSON",
            Self::Authorization => "authorization",
            Self::Audit => "audit",
            Self::Store => "store",
            Self::Crypto => "crypto",
            Self::Core => "core",
            Self::Runtime => "tokio",
            Self::Other => "other",
        }
    }

    fn is_kernel(self) -> bool {
        matches!(self, Self::KernelNetwork | Self::KernelFiles | Self::KernelThreads | Self::KernelOther)
    }

    /// The part that a stack was in, from its innermost frame on. What the thread of the audit log does is audit, but for
    /// the kernel's share.
    fn of<'a>(thread: &str, frames: impl Iterator<Item = &'a str>) -> Self {
        let frames: Vec<_> = frames.collect();
        let in_kernel = frames.iter().take_while(|frame| frame.ends_with(KERNEL)).count();
        match frames.split_at(in_kernel) {
            ([], _) if thread == AUDIT_THREAD => Self::Audit,
            ([], frames) => Self::of_program(frames),
            (kernel, callers) => Self::of_kernel(kernel, callers),
        }
    }

    /// The nearest frame that a part has a name for decides; what has none, as the standard library and libc, works for
    /// whoever called it.
    fn of_program(frames: &[&str]) -> Self {
        let mut fallback = Self::Other;
        for frame in frames {
            let path = path(frame);
            if starts_with_any(path.trim_start_matches('_'), &ALLOCATOR) {
                return Self::Allocation;
            }
            // The library is everybody's: a record of TLS is TLS, and the digest of a token is authorization.
            if starts_with_any(path, &SHARED) {
                fallback = Self::Crypto;
                continue;
            }
            if let Some((_, part)) = PREFIXES.iter().find(|(prefix, _)| path.starts_with(prefix)) {
                return *part;
            }
        }
        fallback
    }

    fn of_kernel(kernel: &[&str], callers: &[&str]) -> Self {
        // A socket is written like a file, so that only the caller or a frame further in tells them apart.
        let is_of_a_socket = kernel.iter().any(|frame| starts_with_any(kernel_function(frame), &SOCKETS))
            || callers.iter().any(|frame| starts_with_any(path(frame), &SOCKET_CALLERS));
        if is_of_a_socket {
            return Self::KernelNetwork;
        }
        let known = kernel.iter().rev().find_map(|frame| {
            KERNEL_FRAMES.iter().find(|(prefix, _)| kernel_function(frame).starts_with(prefix)).map(|(_, part)| *part)
        });
        known.unwrap_or(Self::KernelOther)
    }
}

/// `sys_sendto` of `__x64_sys_sendto`.
fn kernel_function(frame: &str) -> &str {
    let name = frame.trim_start_matches('_');
    name.strip_prefix("x64_").or_else(|| name.strip_prefix("arm64_")).unwrap_or(name)
}

fn starts_with_any(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// How much each part took.
#[derive(Debug, Default)]
pub(super) struct Parts(BTreeMap<Part, u64>);

/// What the whole is worth.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cost {
    /// Processor time of one request.
    Microseconds(f64),
    /// Instructions, of no certain number of requests.
    Instructions,
}

impl Parts {
    /// Of stacks, each of a thread and from its outermost frame on, with what was counted there.
    pub(super) fn of_stacks<'a, F: DoubleEndedIterator<Item = &'a str>>(
        stacks: impl Iterator<Item = (&'a str, F, u64)>,
    ) -> Self {
        let mut parts = Self::default();
        for (thread, frames, count) in stacks {
            *parts.0.entry(Part::of(thread, frames.rev())).or_default() += count;
        }
        parts
    }

    pub(super) fn text(&self, title: &str, cost: Cost) -> String {
        let total: u64 = self.0.values().sum();
        let share = |count: u64| count as f64 / total.max(1) as f64;
        let (column, each) = match cost {
            Cost::Microseconds(each) => ("us", Some(each)),
            Cost::Instructions => ("", None),
        };
        let mut text = format!(
            "{title}: {}\n\n{}\n",
            whole(total, cost),
            format!("{:<26}{:>7}{column:>8}", "part", "share").trim_end()
        );
        let mut line = |name: &str, count: u64| {
            let time = each.map(|each| format!("{:>8.1}", each * share(count))).unwrap_or_default();
            let _ = writeln!(text, "{name:<26}{:>5.1} %{time}", share(count) * 100.0);
        };
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (part, count) in sorted {
            line(part.name(), *count);
        }
        line("all", total);
        if each.is_some() {
            line("of it kernel", self.0.iter().filter(|(part, _)| part.is_kernel()).map(|(_, count)| count).sum());
        }
        text
    }
}

/// Samples of perf are worth nanoseconds.
fn whole(total: u64, cost: Cost) -> String {
    match cost {
        Cost::Microseconds(_) => {
            format!("{:.1} s of the server's processor time; us: of one request", total as f64 / 1e9)
        }
        Cost::Instructions => {
            format!("{:.0} million instructions, those of the kernel not among them", total as f64 / 1e6)
        }
    }
}

/// The path of what a frame is a function of: `hyper::proto::Conn` of `<hyper::proto::Conn<I> as Future>::poll`.
fn path(frame: &str) -> &str {
    let mut name = frame;
    while let Some(inner) = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper)) {
        name = inner;
    }
    name.find(['<', ' ', '>', ',']).and_then(|end| name.get(..end)).unwrap_or(name)
}

/// How `inferno-collapse-perf --kernel` marks frames of the kernel.
const KERNEL: &str = "_[k]";

/// What stands around a path and says nothing by itself.
const WRAPPERS: [&str; 6] = ["<", "&", "mut ", "impl ", "core::ptr::drop_in_place<", "core::ptr::drop_glue<"];

/// mimalloc, glibc's allocator for what is not ours, and their door in Rust, without underscores in front.
const ALLOCATOR: [&str; 16] = [
    "mi_",
    "mimalloc",
    "malloc",
    "calloc",
    "realloc",
    "free",
    "cfree",
    "int_malloc",
    "int_free",
    "int_realloc",
    "libc_malloc",
    "libc_free",
    "libc_calloc",
    "libc_realloc",
    "rust_alloc",
    "rdl_",
];

/// AWS-LC and its way into Rust.
const SHARED: [&str; 3] = ["aws_lc", "aws-lc", "strongroom_crypto::digest"];

const PREFIXES: [(&str, Part); 50] = [
    ("rustls", Part::Tls),
    ("tokio_rustls", Part::Tls),
    ("webpki", Part::Tls),
    ("strongroom_server::audit", Part::Audit),
    ("strongroom_core::audit", Part::Audit),
    ("serde", Part::Json),
    ("base64", Part::Json),
    ("ryu", Part::Json),
    ("itoa", Part::Json),
    ("zmij", Part::Json),
    ("jiff", Part::Json),
    ("strongroom_server::authentic", Part::Authorization),
    ("strongroom_core::container::KeyContainer::authorize", Part::Authorization),
    ("strongroom_core::container::KeyContainer::permit", Part::Authorization),
    ("jsonwebtoken", Part::Authorization),
    ("strongroom_core::identity", Part::Authorization),
    ("strongroom_core::rbac", Part::Authorization),
    ("strongroom_core::pools::rbac", Part::Authorization),
    ("strongroom_core::guard", Part::Authorization),
    ("strongroom_core::network", Part::Authorization),
    ("strongroom_core::vault::access", Part::Authorization),
    ("strongroom_core::vault::rights", Part::Authorization),
    ("strongroom_core::barrier", Part::Store),
    ("strongroom_core::witness", Part::Store),
    ("strongroom_core::layout", Part::Store),
    ("strongroom_store", Part::Store),
    ("strongroom_cluster", Part::Store),
    ("redb", Part::Store),
    ("quick_cache", Part::Store),
    ("strongroom_crypto", Part::Crypto),
    ("strongroom_security_domain", Part::Crypto),
    ("aes", Part::Crypto),
    ("zeroize", Part::Crypto),
    ("subtle", Part::Crypto),
    ("strongroom_core", Part::Core),
    ("strongroom_types", Part::Core),
    ("uuid", Part::Core),
    ("strongroom_server", Part::Requests),
    ("strongroom_api", Part::Requests),
    ("hyper", Part::Http),
    ("http", Part::Http),
    ("h2", Part::Http),
    ("httparse", Part::Http),
    ("url", Part::Http),
    ("percent_encoding", Part::Http),
    ("form_urlencoded", Part::Http),
    ("tokio", Part::Runtime),
    ("mio", Part::Runtime),
    ("parking_lot", Part::Runtime),
    ("tracing", Part::Other),
];

/// The kernel's functions for sockets.
const SOCKETS: [&str; 7] = [
    "sock_write_iter",
    "sock_read_iter",
    "sock_sendmsg",
    "sock_recvmsg",
    "sys_sendto",
    "sys_recvfrom",
    "net_rx_action",
];

/// What reads and writes sockets, and nothing else.
const SOCKET_CALLERS: [&str; 2] = ["mio::net", "std::os::unix::net"];

/// What else the kernel was asked for.
const KERNEL_FRAMES: [(&str, Part); 15] = [
    ("sys_accept", Part::KernelNetwork),
    ("sys_shutdown", Part::KernelNetwork),
    ("sys_epoll", Part::KernelThreads),
    ("sys_futex", Part::KernelThreads),
    ("sys_sched", Part::KernelThreads),
    ("sys_nanosleep", Part::KernelThreads),
    ("sys_clock_nanosleep", Part::KernelThreads),
    ("eventfd", Part::KernelThreads),
    ("schedule", Part::KernelThreads),
    ("ret_from_fork", Part::KernelThreads),
    ("sys_fsync", Part::KernelFiles),
    ("sys_fdatasync", Part::KernelFiles),
    ("sys_openat", Part::KernelFiles),
    ("vfs_", Part::KernelFiles),
    ("ext4_", Part::KernelFiles),
];

/// As the server names it.
const AUDIT_THREAD: &str = "audit";

#[cfg(test)]
mod tests {
    use super::*;

    fn part(stack: &str) -> Part {
        Part::of("tokio-rt-worker", stack.split(';').rev())
    }

    #[test]
    fn the_path_of_a_frame_is_that_of_its_type() {
        for (frame, expected) in [
            ("hyper::proto::h1::conn::Conn<I,B,T>::poll_read", "hyper::proto::h1::conn::Conn"),
            ("<hyper::proto::h1::conn::Conn<I> as core::future::Future>::poll", "hyper::proto::h1::conn::Conn"),
            ("<&mut serde_json::de::Deserializer<R> as serde::de::Deserializer>::x", "serde_json::de::Deserializer"),
            ("core::ptr::drop_in_place<strongroom_core::keys::Key>", "strongroom_core::keys::Key"),
            ("serde_json::de::from_slice", "serde_json::de::from_slice"),
            ("memcpy", "memcpy"),
        ] {
            assert_eq!(path(frame), expected, "{frame}");
        }
    }

    #[test]
    fn the_innermost_frame_with_a_name_decides() {
        for (stack, expected) in [
            ("main;tokio::runtime::run;hyper::proto::h1::poll;serde_json::to_vec;memcpy", Part::Json),
            ("main;tokio::runtime::run;hyper::proto::h1::poll", Part::Http),
            ("main;hyper::x;strongroom_server::data_plane::respond::{{closure}};memmove", Part::Requests),
            ("main;strongroom_core::container::KeyContainer::authorize::{{closure}};memmove", Part::Authorization),
            ("main;hyper::x;strongroom_core::barrier::Barrier::open;core::iter::next", Part::Store),
            ("main;hyper::x;strongroom_core::keys::read::x", Part::Core),
            ("main;strongroom_core::audit::x;__libc_malloc;_int_malloc", Part::Allocation),
            ("main;strongroom_core::audit::x;_mi_page_malloc_zero", Part::Allocation),
            ("main;std::thread::spawn", Part::Other),
        ] {
            assert_eq!(part(stack), expected, "{stack}");
        }
    }

    #[test]
    fn cryptography_is_that_of_whoever_needs_it() {
        for (stack, expected) in [
            ("main;rustls::conn::x;aws_lc_rs::aead::seal;aws_lc_0_40_0_aes_gcm;vpaes_ctr", Part::Tls),
            (
                "main;strongroom_core::identity::token::x;strongroom_crypto::digest::x;aws_lc_0_40_0_sha256",
                Part::Authorization,
            ),
            ("main;strongroom_core::keys::x;strongroom_crypto::sign::x;aws_lc_rs::sign;p256_point_mul", Part::Crypto),
            ("aws_lc_0_40_0_ecdsa_sign", Part::Crypto),
        ] {
            assert_eq!(part(stack), expected, "{stack}");
        }
    }

    #[test]
    fn the_kernel_is_told_apart_by_what_it_was_asked_for() {
        for (stack, expected) in [
            ("hyper::x;send;do_syscall_64_[k];__x64_sys_sendto_[k];tcp_sendmsg_[k]", Part::KernelNetwork),
            ("mio::net::tcp::x;do_syscall_64_[k];vfs_writev_[k];sock_write_iter_[k]", Part::KernelNetwork),
            ("<&mio::net::tcp::TcpStream as std::io::Write>::write;do_syscall_64_[k]", Part::KernelNetwork),
            ("std::x;do_syscall_64_[k];__x64_sys_epoll_wait_[k];sock_poll_[k];tcp_poll_[k]", Part::KernelThreads),
            ("std::x;do_syscall_64_[k];__x64_sys_futex_[k];wake_up_q_[k]", Part::KernelThreads),
            ("std::x;do_syscall_64_[k];ksys_write_[k];vfs_write_[k];ext4_file_write_iter_[k]", Part::KernelFiles),
            ("std::x;asm_exc_page_fault_[k];handle_mm_fault_[k]", Part::KernelOther),
        ] {
            assert_eq!(part(stack), expected, "{stack}");
        }
    }

    #[test]
    fn the_thread_of_the_audit_log_is_audit_where_it_is_not_in_the_kernel() {
        assert_eq!(Part::of(AUDIT_THREAD, ["malloc", "serde_json::x"].into_iter()), Part::Audit);
        assert_eq!(Part::of(AUDIT_THREAD, ["ext4_x_[k]", "std::fs::x"].into_iter()), Part::KernelFiles);
    }

    #[test]
    fn the_table_is_sorted_and_says_how_much_was_in_the_kernel() {
        let stacks = [("rustls::x", 30), ("serde_json::x", 50), ("do_syscall_64_[k]", 20)];
        let parts = Parts::of_stacks(stacks.iter().map(|(frame, count)| ("worker", std::iter::once(*frame), *count)));
        let text = parts.text("get-key", Cost::Microseconds(80.0));
        let words: Vec<Vec<_>> = text.lines().skip(3).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["JSON", "50.0", "%", "40.0"]);
        assert_eq!(words[4], ["of", "it", "kernel", "20.0", "%", "16.0"]);
        assert!(!parts.text("get-key", Cost::Instructions).contains("us"));
    }
}
