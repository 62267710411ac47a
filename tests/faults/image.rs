//! A file system that is made for a test and gone with it: an image on a loop device.

use rustix::ioctl::{Opcode, Setter, ioctl, opcode};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Prints why a test does not run, or fails if it must.
fn skip(why: &str) {
    assert!(std::env::var_os("DRAWDOWN_REQUIRE_LOOP").is_none_or(|value| value == "0"), "cannot mount an image: {why}");
    // Not by `eprintln!`, which is kept from sight while a test succeeds.
    let _ = writeln!(io::stderr(), "SKIPPED: cannot mount an image here: {why}");
}

/// Runs a command; an error is what it said.
fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

/// Writes a file until there is no room left, to the last byte.
fn fill(path: &Path) -> PathBuf {
    let filler = path.join("filler");
    let mut file = OpenOptions::new().create(true).append(true).open(&filler).expect("a file");
    let mut size = 1 << 20;
    while size > 0 {
        match file.write_all(&vec![0xa5; size]).and_then(|()| file.sync_data()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => size /= 2,
            Err(error) => panic!("filling {}: {error}", path.display()),
        }
    }
    filler
}

/// A mount, undone when it is dropped.
#[derive(Debug)]
struct Mount(PathBuf);

impl Mount {
    fn undo(&self) -> Result<(), String> {
        // Whoever has a file open, a server that is being reaped, lets go in the end; a lazy unmount waits for nobody.
        run("umount", &[text(&self.0)]).or_else(|_| run("umount", &["--lazy", text(&self.0)]))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = self.undo() {
            eprintln!("left mounted: {error}");
        }
    }
}

/// An ext4 file system in a sparse file.
#[derive(Debug)]
pub(crate) struct Image {
    file: PathBuf,
    mount: Mount,
}

impl Image {
    /// Makes one of so many bytes in a directory and mounts it there, or says that it cannot be done.
    pub(crate) fn mount(directory: &Path, bytes: u64) -> Option<Image> {
        let (file, at) = (directory.join("image"), directory.join("disk"));
        File::create(&file).and_then(|image| image.set_len(bytes)).expect("a sparse file");
        fs::create_dir(&at).expect("a directory");
        // No room is kept back for root, which the test may be; and the tables are written now, not behind the test's back.
        let options =
            ["-q", "-F", "-m", "0", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", text(&file)];
        match run("mkfs.ext4", &options).and_then(|()| run("mount", &["-o", "loop", text(&file), text(&at)])) {
            Ok(()) => Some(Image { file, mount: Mount(at) }),
            Err(why) => {
                skip(&why);
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.mount.0
    }

    /// Takes all the room that is left.
    pub(crate) fn fill_up(&self) -> PathBuf {
        fill(self.path())
    }

    /// Breaks the connection to the disk: from now on every write and sync fails, and what was not synced is lost, the file system's own
    /// journal included.
    pub(crate) fn break_off(&self) {
        /// `EXT4_IOC_SHUTDOWN`, which takes one of the flags of `XFS_IOC_GOINGDOWN`.
        const SHUTDOWN: Opcode = opcode::read::<u32>(b'X', 125);
        const NO_LOG_FLUSH: u32 = 2;
        let root = File::open(self.path()).expect("a directory");
        // SAFETY: the request reads a u32 and nothing else.
        let request = unsafe { Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH) };
        // SAFETY: it changes no memory of this process; files of the file system merely begin to fail.
        unsafe { ioctl(&root, request) }.expect("ext4 can be shut down by root");
    }

    /// What a machine does that was switched off and on: forgets what was in memory, repairs the file system, mounts it.
    pub(crate) fn remount(self) -> Image {
        let Image { file, mount } = self;
        let at = mount.0.clone();
        drop(mount);
        // 1 is "errors corrected".
        let repaired = Command::new("e2fsck").args(["-f", "-y", text(&file)]).output().expect("e2fsck runs");
        let said = String::from_utf8_lossy(&repaired.stdout);
        assert!(matches!(repaired.status.code(), Some(0 | 1)), "the file system is beyond repair: {said}");
        run("mount", &["-o", "loop", text(&file), text(&at)]).expect("it was mounted before");
        Image { file, mount: Mount(at) }
    }
}
