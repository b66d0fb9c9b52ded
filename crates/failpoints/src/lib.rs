#![doc = include_str!("../README.md")]

#[cfg(feature = "failpoints")]
#[doc(hidden)]
pub use fail;

/// A named point: takes its name alone, or also a closure that gives the error where the step may fail,
/// with a condition between the two where it may only then.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! fail_point {
    ($($point:tt)*) => {
        $crate::fail::fail_point!($($point)*)
    };
}

/// A named point, of which this build has none.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! fail_point {
    ($($point:tt)*) => {};
}

/// Whether this build has the points.
pub const COMPILED: bool = cfg!(feature = "failpoints");

/// Calls this each time that the point is reached.
///
/// # Errors
/// Says why not: this build has no points.
pub fn arm_calling(name: &str, callback: impl Fn() + Send + Sync + 'static) -> Result<(), String> {
    #[cfg(feature = "failpoints")]
    return fail::cfg_callback(name, callback);
    #[cfg(not(feature = "failpoints"))]
    {
        drop(callback);
        Err(format!("{name}: this build has no failpoints"))
    }
}

/// Lets the step at the point fail the first time that it is reached.
///
/// # Errors
/// Says why not: this build has no points.
pub fn arm_failing(name: &str) -> Result<(), String> {
    #[cfg(feature = "failpoints")]
    return fail::cfg(name, "1*return");
    #[cfg(not(feature = "failpoints"))]
    Err(format!("{name}: this build has no failpoints"))
}
