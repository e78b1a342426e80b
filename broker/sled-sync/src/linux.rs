//! The symbol, and what it counts.

use std::ffi::{c_int, c_uint};
use std::io;
use std::sync::atomic::Ordering;

use super::{CALLS, FAILURE};

/// Takes the place of the function of this name in the C library.
///
/// Soundness. What can go wrong with `unsafe(no_mangle)` is a symbol whose type is not the one its
/// callers were compiled against: this is the signature of sync_file_range(2), with the 64-bit
/// offset that the libc crate declares on every Linux. And what can go wrong with the call inside
/// is nothing for memory: `fdatasync` takes a number by value and checks it itself; one that is no
/// descriptor gives EBADF. Nothing here unwinds, allocates or locks, so it may be called from any
/// thread at any time, and errno is left as `fdatasync` set it, which is what the caller reads.
#[unsafe(no_mangle)]
pub extern "C" fn sync_file_range(
    descriptor: c_int,
    _offset: libc::off64_t,
    _bytes: libc::off64_t,
    _flags: c_uint,
) -> c_int {
    CALLS.fetch_add(1, Ordering::AcqRel);
    loop {
        // SAFETY: see above; no memory is passed.
        let result = unsafe { libc::fdatasync(descriptor) };
        if result == 0 {
            return 0;
        }
        let errno = io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO);
        if errno == libc::EINTR {
            continue;
        }
        // The first one stays.
        _ = FAILURE.compare_exchange(0, errno, Ordering::AcqRel, Ordering::Acquire);
        return result;
    }
}
