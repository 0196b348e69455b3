//! The fuzz targets on the stable toolchain: every kept input, and a fixed number of inputs made from them.

#![expect(clippy::expect_used, clippy::panic, reason = "a failed expectation fails the test")]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use strongroom_testkit::fuzz::{Corpus, Mutator, Target};

macro_rules! withstands {
    ($($test:ident: $target:ident),+ $(,)?) => {
        $(
            #[test]
            fn $test() {
                withstand(Target::$target);
            }
        )+

        /// A target without a test fails this one.
        #[test]
        fn every_target_is_tested() {
            assert_eq!(Target::ALL, [$(Target::$target),+]);
        }
    };
}

withstands! {
    any_bytes_are_a_path_or_none: RequestPath,
    any_bytes_are_a_request_body_or_none: RequestBody,
    no_bytes_are_a_token_that_counts: Token,
    a_release_policy_decides_as_its_canonical_text_does: ReleasePolicy,
    any_bytes_are_a_key_set_or_none: KeySet,
    any_bytes_are_a_download_request_or_none: DownloadRequest,
    an_altered_upload_opens_as_itself_or_not_at_all: SecurityDomainUpload,
    an_altered_security_domain_file_opens_as_itself_or_not_at_all: SecurityDomainFile,
    any_bytes_are_the_secrets_of_a_domain_or_none: DomainSecrets,
    bytes_that_nobody_sealed_do_not_open: SealedRecord,
    any_content_under_a_true_seal_is_a_record_or_damage: RecordContent,
    imported_parts_are_those_of_one_key_or_refused: ImportParameters,
    an_altered_wrapped_key_does_not_open: KeyTransferBlob,
    an_altered_key_backup_is_not_restored: KeyBackup,
    any_content_of_a_key_backup_is_a_key_or_refused: KeyBackupContent,
}

#[test]
fn every_target_has_a_program_for_cargo_fuzz_and_every_corpus_a_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let names = |folder: &str| {
        let entries = fs::read_dir(fuzz.join(folder)).expect("the folder is there");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("it is readable").path().file_stem().expect("a name").to_owned())
            .map(|name| name.into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    };
    let mut targets: Vec<_> = Target::ALL.iter().map(|target| target.name().to_owned()).collect();
    targets.sort();
    assert_eq!(names("corpus"), targets);
    let programs: Vec<_> = targets.iter().map(|name| name.replace('-', "_")).collect();
    assert_eq!(names("fuzz_targets"), programs);
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("the manifest is there");
    for (name, program) in targets.iter().zip(programs) {
        let entry = format!("name = \"{name}\"\npath = \"fuzz_targets/{program}.rs\"\n");
        assert!(manifest.contains(&entry), "fuzz/Cargo.toml has no program {name}");
        let source = fs::read_to_string(fuzz.join(format!("fuzz_targets/{program}.rs"))).expect("it is there");
        let target = Target::ALL.iter().find(|target| target.name() == name).expect("it is a target");
        assert!(source.contains(&format!("Target::{target:?}.run(")), "{program}.rs feeds another target");
    }
}

fn withstand(target: Target) {
    let corpus = Corpus::read(target).expect("the corpus is kept in fuzz/corpus");
    for input in &corpus.inputs {
        feed(target, input);
    }
    let mut mutator = Mutator::new(corpus, SEED);
    for _ in 0..target.rounds() {
        feed(target, &mutator.input());
    }
}

#[expect(clippy::disallowed_methods, reason = "an input that never ends is a finding too")]
fn feed(target: Target, input: &[u8]) {
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| target.run(input)));
    let took = started.elapsed();
    if outcome.is_ok() && took < INPUT_TIME_MAX {
        return;
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.input", target.name()));
    fs::write(&path, input).expect("the input is kept");
    panic!(
        "{} fails on {} after {took:?}\nremedy: mend it, write a unit test, and keep the input in {}",
        target.name(),
        path.display(),
        Corpus::folder(target).display()
    );
}

/// Any will do; another one makes other inputs.
const SEED: u64 = 0x5eed;

/// Far beyond what any of these inputs takes on a busy machine.
const INPUT_TIME_MAX: Duration = Duration::from_secs(20);
