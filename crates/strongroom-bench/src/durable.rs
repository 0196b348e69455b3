//! What a durable write costs at least: an append and an `fdatasync` in the folder that is measured.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::cores::on_core;
use crate::figures::per_second;
use crate::{MeasureError, now};

/// Appends of a record a second, each made durable before the next, by so many writers at once.
///
/// # Errors
/// [`MeasureError::Io`] if the folder takes no file.
pub fn appends(core: Option<usize>, folder: &Path, writers: usize, duration: Duration) -> Result<f64, MeasureError> {
    let file = tempfile::NamedTempFile::new_in(folder).map_err(MeasureError::io("no file can be made there"))?;
    let begun = now();
    let count: u64 = on_core(core, || {
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..writers).map(|_| scope.spawn(|| append(file.path(), duration))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap_or(Err(MeasureError::Ended))).sum::<Result<_, _>>()
        })
    })??;
    Ok(per_second(count, begun.elapsed()))
}

fn append(path: &Path, duration: Duration) -> Result<u64, MeasureError> {
    let open = || OpenOptions::new().append(true).open(path);
    let mut file: File = open().map_err(MeasureError::io("the file cannot be opened"))?;
    let begun = now();
    let mut count = 0;
    while count == 0 || begun.elapsed() < duration {
        let written = file.write_all(&[7; RECORD_BYTES]).and_then(|()| file.sync_data());
        written.map_err(MeasureError::io("the file cannot be written"))?;
        count += 1;
    }
    Ok(count)
}

/// About what a new key adds to the store, with its event.
const RECORD_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_writer_appends_at_least_once_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        for writers in [1, 3] {
            assert!(appends(None, folder.path(), writers, Duration::ZERO).unwrap() > 0.0);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(appends(None, &folder.path().join("none"), 1, Duration::ZERO).is_err());
    }
}
