//! Directories: what lies around them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use strongroom_core::blobs::{BlobCredential, BlobError, BlobStores};

use crate::blob::tests::{SAS, bearer, sas};
use crate::blob::{BlobPlaces, BlobRules, Patience};

/// Places with one directory for backups.
pub(super) fn places(folder: &Path) -> BlobPlaces {
    super::places(BlobRules { directories: vec![folder.to_owned()], ..BlobRules::default() }, Patience::default())
}

fn address(folder: &Path, below: &str) -> String {
    format!("file://{}{below}", folder.display())
}

#[tokio::test]
async fn a_file_is_for_its_owner_alone_and_no_half_of_one_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let container = places(folder.path()).open(&address(folder.path(), "/hsm1"), sas(SAS)).await.unwrap();
    container.create("backup/part-000000", b"content".to_vec()).await.unwrap();
    container.create("backup/part-000000", b"other".to_vec()).await.unwrap_err();
    let inside = folder.path().join("hsm1/backup");
    let names: Vec<_> = fs::read_dir(&inside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["part-000000"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&inside.join("part-000000")), mode(&inside)), (0o600, 0o700));
}

#[tokio::test]
async fn nothing_outside_the_configured_directories_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("backups");
    fs::create_dir(&inside).unwrap();
    let places = places(&inside);
    let failure = async |address: &str, credential| places.open(address, credential).await.err().unwrap();
    for outside in [address(folder.path(), "/other"), address(folder.path(), "/backups2"), address(folder.path(), "/")]
    {
        let error = failure(&outside, BlobCredential::None).await;
        assert!(
            matches!(&error, BlobError::NotAllowed(problem) if problem.contains("[backup] directories")),
            "{error}"
        );
    }
    for odd in
        ["/backups/../other", "/backups/%2e%2e/other", "/backups//x", "/backups/./x", "/backups/x?y", "/backups/%00"]
    {
        let error = failure(&address(folder.path(), odd), BlobCredential::None).await;
        assert!(matches!(error, BlobError::Malformed(_)), "{odd}: {error}");
    }
    for odd in ["file:backups", "file://elsewhere/backups", "file://backups"] {
        assert!(matches!(failure(odd, BlobCredential::None).await, BlobError::Malformed(_)), "{odd}");
    }
    assert!(matches!(failure(&address(&inside, "/x"), bearer()).await, BlobError::NotAllowed(_)));
    assert!(places.open(&address(&inside, ""), BlobCredential::None).await.is_ok());
    assert!(places.open(&format!("file://localhost{}/a%20b", inside.display()), BlobCredential::None).await.is_ok());
}

#[tokio::test]
async fn a_symbolic_link_is_not_followed() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let places = places(folder.path());
    fs::write(elsewhere.path().join("secret"), "secret").unwrap();
    symlink(elsewhere.path(), folder.path().join("link")).unwrap();
    let through = places.open(&address(folder.path(), "/link"), BlobCredential::None).await.unwrap();
    assert!(matches!(through.create("blob", Vec::new()).await, Err(BlobError::NotAllowed(_))));
    assert!(matches!(through.read("secret", 100).await, Err(BlobError::NotAllowed(_))));

    let own = places.open(&address(folder.path(), "/own"), BlobCredential::None).await.unwrap();
    own.create("blob", Vec::new()).await.unwrap();
    symlink(elsewhere.path().join("secret"), folder.path().join("own/file")).unwrap();
    assert!(matches!(own.read("file", 100).await, Err(BlobError::NotAllowed(_))));
    symlink(elsewhere.path().join("new"), folder.path().join("own/dangling")).unwrap();
    assert!(matches!(own.create("dangling", Vec::new()).await, Err(BlobError::AlreadyExists(_))));
    assert!(!elsewhere.path().join("new").exists() && !elsewhere.path().join("blob").exists());
    fs::create_dir(folder.path().join("own/folder")).unwrap();
    assert!(matches!(own.read("folder", 100).await, Err(BlobError::NotAllowed(_))));
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("not-mounted");
    let container = places(&missing).open(&address(&missing, "/hsm1"), BlobCredential::None).await.unwrap();
    let error = container.create("blob", Vec::new()).await.unwrap_err();
    assert!(matches!(error, BlobError::NotFound(_)) && !missing.exists(), "{error}");
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_behind() {
    // A folder of a file system of its own cannot be had without rights; a limit on the size of files is as good.
    let folder = tempfile::tempdir().unwrap();
    // Who goes beyond it gets a signal as well, which must not end the process.
    let child = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "blob::tests::directory::writes_beyond_the_limit", "--ignored", "--nocapture"])
        .env("STRONGROOM_TEST_FOLDER", folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(fs::read_dir(folder.path().join("hsm1")).unwrap().count(), 0);
}

/// Runs in a process of its own: the limit holds for all of it.
#[tokio::test]
#[ignore = "part of a_full_disk_leaves_nothing_behind"]
#[expect(clippy::disallowed_methods, reason = "the parent says where by the environment")]
async fn writes_beyond_the_limit() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let folder = std::env::var_os("STRONGROOM_TEST_FOLDER").unwrap();
    let folder = Path::new(&folder);
    let container = places(folder).open(&address(folder, "/hsm1"), BlobCredential::None).await.unwrap();
    setrlimit(Resource::Fsize, Rlimit { current: Some(4096), maximum: Some(4096) }).unwrap();
    let error = container.create("blob", vec![7; 8192]).await.unwrap_err();
    assert!(matches!(error, BlobError::Unavailable(_)), "{error}");
}
