//! The folder that benchmarks write to.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A folder on a real file system, and what is known of that.
pub struct Disk {
    pub folder: PathBuf,
    /// Such as `ext4`.
    pub file_system: String,
    /// What appending 4 KiB and one fdatasync take, the median in microseconds.
    pub sync_p50: u32,
}

impl Disk {
    /// Makes an empty folder for the benchmark `name`. Ends the program on a file system in
    /// memory, where a sync costs nothing and a durable log means nothing.
    pub fn prepare(name: &str) -> Self {
        let base = std::env::var_os("BENCH_FOLDER")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let folder = base.join(format!("bench-{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the folder can be made");
        let folder = folder.canonicalize().expect("the folder is there");
        let file_system = file_system(&folder);
        if matches!(&*file_system, "tmpfs" | "ramfs") {
            eprintln!(
                "{} is on {file_system}, where nothing is durable: name another folder in BENCH_FOLDER",
                folder.display()
            );
            std::process::exit(2);
        }
        let sync_p50 = sync_p50(&folder);
        Self {
            folder,
            file_system,
            sync_p50,
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The type of the file system that holds `folder`, from `/proc/self/mountinfo` (proc(5)): the
/// mount point is the fifth field, the type follows a lone dash.
fn file_system(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let point = Path::new(line.split(' ').nth(4)?);
            let kind = line.split(" - ").nth(1)?.split(' ').next()?;
            folder
                .starts_with(point)
                .then_some((point.as_os_str().len(), kind))
        })
        // Of two mounts at one place the later one is seen.
        .max_by_key(|(length, _)| *length)
        .map_or_else(|| "unknown".into(), |(_, kind)| kind.to_owned())
}

/// The median of a bare append and fdatasync in `folder`, in microseconds.
pub fn sync_p50(folder: &Path) -> u32 {
    let path = folder.join("sync");
    let mut file = File::create(&path).expect("a file can be made");
    let mut times: Vec<u32> = (0..300)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&[1; 4096]).expect("the disk has room");
            file.sync_data().expect("the disk syncs");
            start.elapsed().as_micros() as u32
        })
        .collect();
    fs::remove_file(&path).expect("the file is ours");
    super::quantile(&mut times, 0.5)
}
