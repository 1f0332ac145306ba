//! The system calls by which files change, with the names that the C library gives them: the linker
//! takes these for SQLite's calls and for those of Rust's standard library alike. Each does what it is
//! asked for, and tells [`recorder`](crate::recorder) if it concerns a watched directory; unless the test
//! wants it to fail.
//!
//! Not all calls that exist are here, but those that are made: a recording that misses one does not
//! lead to the files that are on the disk, which every recorded run checks.
#![allow(unsafe_code, reason = "functions of the C library")]

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};

use crate::recorder::{self, Call, Opened, Target};

/// The name, unless it is no text: the tests' own files have plain names.
unsafe fn text<'a>(path: *const c_char) -> Option<&'a str> {
    unsafe { CStr::from_ptr(path) }.to_str().ok()
}

unsafe fn real_open(directory: c_int, path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    unsafe { libc::syscall(libc::SYS_openat, directory, path, flags, mode) as c_int }
}

unsafe fn open_recorded(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    let real = || unsafe { real_open(libc::AT_FDCWD, path, flags, mode) };
    match unsafe { text(path) }.and_then(recorder::find) {
        Some((watch, name)) => {
            let opened = Opened {
                creates: flags & libc::O_CREAT != 0,
                truncates: flags & libc::O_TRUNC != 0,
            };
            watch.open(&name, opened, real)
        }
        None => real(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    unsafe { open_recorded(path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    unsafe { open_recorded(path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn close(fd: c_int) -> c_int {
    recorder::closed(fd);
    unsafe { libc::syscall(libc::SYS_close, fd) as c_int }
}

/// What a call says whose disk has gone bad.
fn input_output_error() -> c_int {
    error(libc::EIO)
}

fn error(number: c_int) -> c_int {
    unsafe { *libc::__errno_location() = number };
    -1
}

/// Whether the file would become longer, and must not.
fn is_over_quota(target: &Target, fd: c_int, end: c_long) -> bool {
    let mut file = std::mem::MaybeUninit::<libc::stat64>::uninit();
    let found = unsafe { libc::fstat64(fd, file.as_mut_ptr()) } == 0;
    found && end > unsafe { file.assume_init() }.st_size && target.fails(Call::Grow)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn read(fd: c_int, bytes: *mut c_void, count: usize) -> isize {
    match recorder::file(fd) {
        Some(target) if target.fails(Call::Read) => input_output_error() as isize,
        _ => unsafe { libc::syscall(libc::SYS_read, fd, bytes, count) as isize },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pread64(fd: c_int, bytes: *mut c_void, count: usize, offset: c_long) -> isize {
    match recorder::file(fd) {
        Some(target) if target.fails(Call::Read) => input_output_error() as isize,
        _ => unsafe { libc::syscall(libc::SYS_pread64, fd, bytes, count, offset) as isize },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, count: usize) -> isize {
    let real = || unsafe { libc::syscall(libc::SYS_write, fd, bytes, count) as isize };
    match recorder::file(fd) {
        Some(target) if target.fails(Call::Write) => input_output_error() as isize,
        Some(target) => {
            let offset = unsafe { libc::syscall(libc::SYS_lseek, fd, 0, libc::SEEK_CUR) };
            if is_over_quota(&target, fd, offset + count as c_long) {
                return error(libc::EDQUOT) as isize;
            }
            unsafe { written(&target, offset, bytes, real) }
        }
        None => real(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(
    fd: c_int,
    bytes: *const c_void,
    count: usize,
    offset: c_long,
) -> isize {
    let real = || unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes, count, offset) as isize };
    match recorder::file(fd) {
        Some(target) if target.fails(Call::Write) => input_output_error() as isize,
        Some(target) if is_over_quota(&target, fd, offset + count as c_long) => {
            error(libc::EDQUOT) as isize
        }
        Some(target) => unsafe { written(&target, offset, bytes, real) },
        None => real(),
    }
}

unsafe fn written(
    target: &Target,
    offset: c_long,
    bytes: *const c_void,
    real: impl FnOnce() -> isize,
) -> isize {
    let copy = |count| unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), count) }.to_vec();
    target.write(offset.unsigned_abs(), copy, real)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate64(fd: c_int, bytes: c_long) -> c_int {
    let real = || unsafe { libc::syscall(libc::SYS_ftruncate, fd, bytes) as c_int };
    match recorder::file(fd) {
        Some(target) => target.resize(bytes.unsigned_abs(), real),
        None => real(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ftruncate(fd: c_int, bytes: c_long) -> c_int {
    unsafe { ftruncate64(fd, bytes) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fallocate64(fd: c_int, mode: c_int, from: c_long, bytes: c_long) -> c_int {
    let real = || unsafe { libc::syscall(libc::SYS_fallocate, fd, mode, from, bytes) as c_int };
    match recorder::file(fd) {
        Some(target) if is_over_quota(&target, fd, from + bytes) => error(libc::EDQUOT),
        Some(target) if mode == 0 => target.allocate((from + bytes).unsigned_abs(), real),
        _ => real(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fallocate(fd: c_int, mode: c_int, from: c_long, bytes: c_long) -> c_int {
    unsafe { fallocate64(fd, mode, from, bytes) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fsync(fd: c_int) -> c_int {
    let real = || unsafe { libc::syscall(libc::SYS_fsync, fd) as c_int };
    match recorder::file(fd) {
        Some(target) if target.fails(Call::Sync) => input_output_error(),
        Some(target) => target.sync(real),
        None => real(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdatasync(fd: c_int) -> c_int {
    unsafe { fsync(fd) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let here = libc::AT_FDCWD;
    let real = || unsafe { libc::syscall(libc::SYS_renameat2, here, from, here, to, 0) as c_int };
    let names = unsafe { text(from).zip(text(to)) };
    let found = names.and_then(|(from, to)| recorder::find(from).zip(recorder::find(to)));
    match found {
        Some(((watch, from), (_, to))) => watch.rename(&from, &to, real),
        None => real(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    let real = || unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, path, 0) as c_int };
    match unsafe { text(path) }.and_then(recorder::find) {
        Some((watch, name)) => watch.remove(&name, real),
        None => real(),
    }
}

/// Before there are threads: no certificates but those of the embedded Platform. To read the system's
/// takes most of a start's time in a debug build.
extern "C" fn trust_nothing_else() {
    for name in [c"SSL_CERT_FILE", c"SSL_CERT_DIR"] {
        unsafe { libc::setenv(name.as_ptr(), c"/dev/null".as_ptr(), 1) };
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = trust_nothing_else;
