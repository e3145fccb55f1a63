//! Damaged and odd files, opened through the window: each is shown or refused with a notice that
//! names it, and the window lives on.

use std::path::{Path, PathBuf};

use lamina::gui::command::Command;
use lamina_io::{ReadOptions, read_volume, write_volume};

use super::{Window, notices, sample, settle, window};
use crate::support::{Sandbox, larger_data};

/// A window that draws a box for what its fonts lack, as the program does: headers hold anything.
fn hardened() -> Window {
    let window = window(&[]);
    window.ctx.set_missing_glyph_policy(eframe::egui::MissingGlyphPolicy::Tofu);
    window
}

/// Opens a file in place of whatever is open, and answers whether it is shown. Where it is not, a
/// notice names it.
fn opens(window: &mut Window, path: &Path) -> bool {
    window.state_mut().run(Command::Do(lamina::gui::command::Action::Close));
    window.state_mut().state.notices.clear();
    window.state_mut().run(Command::Open(vec![path.to_owned()]));
    settle(window);
    if window.state().state.image.is_some() || window.state().state.study.is_some() {
        window.state_mut().run(Command::CloseSeries);
        return true;
    }
    let problems = window.state().state.notices.iter().filter(|notice| notice.is_problem);
    let texts: Vec<String> = problems.map(|notice| notice.text.clone()).collect();
    let name = path.file_name().unwrap().to_string_lossy();
    // What is wrong with which file, and in a line of its own what to do.
    let tells = |text: &String| match text.rsplit_once('\n') {
        Some((what, advice)) => what.contains(&*name) && advice.ends_with('.'),
        None => text.contains(&*name) && text.contains(". "),
    };
    assert!(texts.iter().any(tells), "{}: {texts:?}", path.display());
    assert!(window.state().state.incoming.arriving.is_none(), "{}", path.display());
    false
}

#[test]
fn damaged_files_are_named_and_the_window_lives() {
    let sandbox = Sandbox::new();
    let volume = read_volume(&sample("images"), &ReadOptions::default()).unwrap();
    let mut window = hardened();
    for whole in ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"] {
        let path = sandbox.path(whole);
        write_volume(&path, &volume).unwrap();
        assert!(opens(&mut window, &path), "{whole}");
        let bytes = std::fs::read(&path).unwrap();
        // Cut off in the header, in the voxels, and just before the end.
        for (number, end) in [0, 1, 40, 200, bytes.len() / 2, bytes.len() - 1].iter().enumerate() {
            let name = format!("cut{number}{}", &whole[1..]);
            sandbox.write(&name, &bytes[..*end]);
            assert!(!opens(&mut window, &sandbox.path(&name)), "{name}");
        }
        // Anything may stand in a header.
        for at in (0..bytes.len().min(360)).step_by(9) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0xff;
            let name = format!("byte{at}{}", &whole[1..]);
            sandbox.write(&name, &bytes);
            opens(&mut window, &sandbox.path(&name));
        }
    }
    // Bytes without any sense under names that promise some.
    let noise: Vec<u8> =
        (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for ending in ["nii", "nii.gz", "mhd", "mha", "nrrd", "nhdr", "dcm", "png", "jpg", "tif", "bmp"]
    {
        let name = format!("noise.{ending}");
        sandbox.write(&name, &noise);
        assert!(!opens(&mut window, &sandbox.path(&name)), "{name}");
    }
    std::fs::create_dir(sandbox.path("folder.nii")).unwrap();
    assert!(!opens(&mut window, &sandbox.path("folder.nii")));
    assert!(opens(&mut window, &sample("images")));
    assert_eq!(notices(&window), Vec::<String>::new());
}

#[test]
fn every_file_of_the_larger_data_is_shown_or_named() {
    let Some(folder) = larger_data("odd files in the window") else { return };
    let mut files = Vec::new();
    for part in ["formats", "hippocampus/broken_pairs"] {
        gather(&folder.join(part), &mut files);
    }
    files.sort();
    let mut window = hardened();
    let shown = files.iter().filter(|path| opens(&mut window, path)).count();
    assert!(shown > 0 && files.len() > 20, "{shown} of {} files are shown", files.len());
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.push(path.clone());
            gather(&path, files);
        } else {
            files.push(path);
        }
    }
}
