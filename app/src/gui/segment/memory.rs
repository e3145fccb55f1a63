//! Whether there is room to segment: an allocation that fails ends a program, work and all, so
//! what cannot fit is refused before.

use lamina_engine::bundle::Manifest;
use lamina_io::Volume;

/// Left to everything else.
const SPARE: u64 = 256 << 20;

/// Bytes that a pixel of a slice may need in a network at once: some sixty maps of full size with
/// their copies, more than the networks here hold.
const PER_PIXEL: u64 = 1024;

/// A rough upper estimate of the bytes that segmenting takes beside the volume.
pub fn needed(volume: &Volume, manifest: &Manifest) -> u64 {
    let [depth, height, width] = volume.shape().map(|size| size as u64);
    let voxels = depth * height * width;
    // As numbers that the network takes, turned or resampled, and labels, doubt and what is pasted.
    let (copies, scale) = match (manifest.preprocessing.spacing_mm, volume.geometry.spacing_mm()) {
        (Some([x, y]), Some(found)) => {
            let mut found = found.map(|mm| mm.max(1e-6));
            found.sort_by(f64::total_cmp);
            (2, (found[2] * found[1] / (x * y)).max(1.0))
        }
        _ => (2, 1.0),
    };
    let prepared = (voxels as f64 * 4.0 * (1.0 + scale)) as u64 * copies / 2;
    let largest = (height * width).max(depth * height).max(depth * width);
    let network = (largest as f64 * scale) as u64 * PER_PIXEL;
    prepared + 4 * voxels + network
}

/// A sentence where there is too little memory for it.
pub fn too_little(needed: u64, available: Option<u64>) -> Option<String> {
    let available = available?;
    let gigabytes = |bytes: u64| format!("{:.1} GB", bytes as f64 / 1e9);
    (needed.saturating_add(SPARE) > available).then(|| {
        format!(
            "Not segmented: this may take {} of memory and {} are free. Close other programs, or \
             crop the image.",
            gigabytes(needed),
            gigabytes(available)
        )
    })
}

/// Memory that programs can still get, where the system says.
pub fn available() -> Option<u64> {
    let system = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| free_in(&text));
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    // What a container may take, its file caches not counted.
    let limit = number("/sys/fs/cgroup/memory.max").and_then(|limit| {
        let used = number("/sys/fs/cgroup/memory.current")?;
        let stat = std::fs::read_to_string("/sys/fs/cgroup/memory.stat").unwrap_or_default();
        let cache = stat.lines().find_map(|line| line.strip_prefix("inactive_file "));
        let cache = cache.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(cache)))
    });
    match (system, limit) {
        (Some(system), Some(limit)) => Some(system.min(limit)),
        (one, other) => one.or(other),
    }
}

fn free_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_fit_is_said_with_what_to_do() {
        assert_eq!(too_little(1 << 30, Some(2 << 30)), None);
        assert_eq!(too_little(u64::MAX, None), None);
        let sentence = too_little(12_000_000_000, Some(6_000_000_000)).unwrap();
        assert_eq!(
            sentence,
            "Not segmented: this may take 12.0 GB of memory and 6.0 GB are free. Close other \
             programs, or crop the image."
        );
    }

    #[test]
    fn free_memory_is_read_off_the_system() {
        let text = "MemTotal:  24000 kB\nMemAvailable:   12345 kB\n";
        assert_eq!(free_in(text), Some(12345 * 1024));
        assert_eq!(free_in("MemFree: 1 kB"), None);
    }
}
