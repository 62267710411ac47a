//! Whether this processor can run what was built (`.cargo/config.toml`): an older one would otherwise end the program at some instruction
//! that it does not know, without a word.

/// The first instruction set that the build uses and the processor lacks.
#[cfg(target_arch = "x86_64")]
pub(crate) fn missing() -> Option<&'static str> {
    use std::arch::x86_64::__cpuid_count;
    // Asked of the processor itself: the standard library's macro answers from the build's own settings.
    let (basic, extended) = (__cpuid_count(1, 0).ecx, __cpuid_count(7, 0).ebx);
    let has = |register: u32, bit: u32| register >> bit & 1 == 1;
    let needed = [
        (cfg!(target_feature = "cmpxchg16b"), has(basic, 13), "CMPXCHG16B"),
        (cfg!(target_feature = "aes"), has(basic, 25), "AES"),
        (cfg!(target_feature = "avx"), has(basic, 28), "AVX"),
        (cfg!(target_feature = "fma"), has(basic, 12), "FMA"),
        (cfg!(target_feature = "avx2"), has(extended, 5), "AVX2"),
        (cfg!(target_feature = "bmi2"), has(extended, 8), "BMI2"),
    ];
    needed.into_iter().find(|(used, there, _)| *used && !there).map(|(_, _, name)| name)
}

/// Elsewhere the build uses what every processor has.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn missing() -> Option<&'static str> {
    None
}
