//! Disks in files, from which the power can be cut: file systems on loop devices, and copies of them as of one instant.
//!
//! # What a copy shows
//! A file system is mounted from a loop device over a file. What it has written and flushed stands in that file; what it still has in its
//! caches does not, and so is not in a copy of the file. A copy of the file as of one instant is what a disk would hold whose power fails
//! then, provided that the disk writes in the order in which it is told, and loses nothing of what it has taken: of the writes that the file
//! system has not flushed, a beginning of them is there.
//!
//! The copy must be of *one instant*. Reading the file from front to back while it is written shows the blocks of its end as of a later
//! moment than those of its beginning: a write and not the one that was flushed before it. No disk does that, file systems do not survive it,
//! and the log rightly refuses it as lost data. So the files lie on an XFS file system of their own, whose clones (`FICLONE`) are made under
//! the file's lock, between two writes. Unflushed writes that overtake each other, lost and torn ones are the matter of the simulated disk.
//!
//! # Nothing stays behind
//! Everything is mounted in a mount namespace that only the test's thread and its children are in, on a file that has no name: when they are
//! gone, however they went, the system undoes it all.

use rustix::fs::ioctl_ficlone;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Room for a disk and what differs from it in its copies. The file is sparse.
const HOST_BYTES: u64 = 3 << 30;

/// A file system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    /// Bytes of a disk. XFS makes none below 300 MiB.
    fn bytes(self) -> u64 {
        match self {
            Kind::Ext4 => 256 << 20,
            Kind::Xfs => 320 << 20,
        }
    }

    fn make(self, image: &Path) -> Result<(), String> {
        match self {
            // The tables are written now, not behind the test's back.
            Kind::Ext4 => run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"], &[image]),
            Kind::Xfs => run("mkfs.xfs", &["-q", "-f"], &[image]),
        }
    }

    fn mount_options(self) -> &'static str {
        match self {
            Kind::Ext4 => "loop",
            // A copy has the identity of what it is a copy of, which is mounted as well.
            Kind::Xfs => "loop,nouuid",
        }
    }
}

/// Prints why a test does not run, or fails if it must.
fn skip(why: &str) {
    assert!(std::env::var_os("DRAWDOWN_REQUIRE_LOOP").is_none_or(|value| value == "0"), "cannot mount images: {why}");
    // Not by `eprintln!`, which is kept from sight while a test succeeds.
    let _ = writeln!(io::stderr(), "SKIPPED: cannot mount images here: {why}");
}

/// Runs a command; an error is what it said.
fn run(program: &str, options: &[&str], paths: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(options).args(paths).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {options:?} {paths:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// A mount, undone when it is dropped.
#[derive(Debug)]
struct Mount(PathBuf);

impl Mount {
    fn make(image: &Path, at: PathBuf, options: &str) -> Result<Mount, String> {
        fs::create_dir_all(&at).map_err(|error| format!("{}: {error}", at.display()))?;
        run("mount", &["-o", options], &[image, &at])?;
        Ok(Mount(at))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = run("umount", &[], &[&self.0]).or_else(|_| run("umount", &["--lazy"], &[&self.0])) {
            eprintln!("left to the system to unmount: {error}");
        }
    }
}

/// Where disks and their copies lie.
#[derive(Debug)]
pub(crate) struct Host {
    mount: Mount,
    kind: Kind,
    copies: Cell<u64>,
    _file: File,
    _directory: TempDir,
}

/// A disk with its file system mounted.
#[derive(Debug)]
pub(crate) struct Disk {
    mount: Mount,
    image: PathBuf,
}

impl Host {
    /// Makes the place for disks of a kind, or says that it cannot be done here. This thread, and who it starts, sees it and nobody else.
    pub(crate) fn make(kind: Kind) -> Option<(Host, Disk)> {
        let made = Host::try_make(kind).and_then(|host| {
            let image = host.mount.0.join("disk.image");
            File::create(&image).and_then(|file| file.set_len(kind.bytes())).map_err(|error| error.to_string())?;
            kind.make(&image)?;
            let mount = Mount::make(&image, host.mount.0.join("disk"), kind.mount_options())?;
            Ok((host, Disk { mount, image }))
        });
        made.inspect_err(|why| skip(why)).ok()
    }

    fn try_make(kind: Kind) -> Result<Host, String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        // SAFETY: only this thread's view of mounts changes, and its working directory becomes its own; neither is memory.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.map_err(|error| told(&error))?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).map_err(|error| told(&error))?;
        let file = tempfile::tempfile().map_err(|error| told(&error))?;
        file.set_len(HOST_BYTES).map_err(|error| told(&error))?;
        let path = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()));
        run("mkfs.xfs", &["-q", "-f", "-m", "reflink=1"], &[&path])?;
        let directory = tempfile::tempdir().map_err(|error| told(&error))?;
        let mount = Mount::make(&path, directory.path().to_owned(), "loop")?;
        Ok(Host { mount, kind, copies: Cell::new(0), _file: file, _directory: directory })
    }

    /// What a disk would hold whose power fails now.
    pub(crate) fn cut(&self, disk: &Disk) -> Cut {
        self.copies.set(self.copies.get() + 1);
        let copy = self.mount.0.join(format!("cut-{}.image", self.copies.get()));
        let (from, to) = (File::open(&disk.image), OpenOptions::new().write(true).create_new(true).open(&copy));
        ioctl_ficlone(to.expect("a file"), from.expect("the disk's file")).expect("XFS clones files");
        Cut { image: copy }
    }

    /// Switches the power on again: mounts it, which repairs the file system as after any power failure.
    pub(crate) fn mount(&self, cut: Cut) -> Disk {
        let at = cut.image.with_extension("mounted");
        let mount = Mount::make(&cut.image, at, self.kind.mount_options());
        Disk { mount: mount.expect("the file system survives"), image: cut.image }
    }

    /// Gives back the room of a copy.
    pub(crate) fn discard(Disk { mount, image }: Disk) {
        drop(mount);
        fs::remove_file(image).expect("it is there");
    }
}

impl Disk {
    pub(crate) fn path(&self) -> &Path {
        &self.mount.0
    }
}

/// A disk without power.
#[derive(Debug)]
pub(crate) struct Cut {
    image: PathBuf,
}
