//! Checkpoints written by hand, as PyTorch would not write them, and those of PyTorch, damaged.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::pickle::Pickle;
use super::zip::{Zip, checksum};
use super::{Checkpoint, TorchError};

const FILES: [(&str, &[u8]); 8] = [
    ("plain", include_bytes!("../../../../tests/golden/torch/plain.pth")),
    ("letters", include_bytes!("../../../../tests/golden/torch/twenty_one_characters.pth")),
    ("legacy", include_bytes!("../../../../tests/golden/torch/legacy.pth")),
    ("wrapped", include_bytes!("../../../../tests/golden/torch/wrapped.pth")),
    ("parameters", include_bytes!("../../../../tests/golden/torch/parameters.pt")),
    ("mixed", include_bytes!("../../../../tests/golden/torch/mixed.pth")),
    ("hostile", include_bytes!("../../../../tests/golden/torch/hostile.pth")),
    ("not_finite", include_bytes!("../../../../tests/golden/torch/not_finite.pth")),
];

/// What `zipped` puts into a file besides the pickle.
#[derive(Default)]
struct Form {
    big_endian: bool,
    /// With the directory described by numbers of eight bytes.
    wide: bool,
    method: u16,
    checked: bool,
}

/// A zip file of a pickle and of storage 0.
fn zipped(pickle: &[u8], storage: &[u8], form: &Form) -> Vec<u8> {
    let order: &[u8] = if form.big_endian { b"big" } else { b"little" };
    let entries = [("byteorder", order), ("data.pkl", pickle), ("data/0", storage)];
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, contents) in entries {
        let name = format!("any name/{name}");
        let (length, place) = (contents.len() as u32, file.len() as u32);
        let sum = if form.checked { checksum(contents) } else { 0 };
        let narrow = |number: u32| if form.wide { u32::MAX } else { number }.to_le_bytes();
        let mut extra = Vec::new();
        if form.wide {
            extra.extend([1, 0, 24, 0]);
            for number in [length, length, place] {
                extra.extend(u64::from(number).to_le_bytes());
            }
        }
        // Version, flags, method, time, date.
        let mut common = vec![0_u8; 10];
        common[4..6].copy_from_slice(&form.method.to_le_bytes());
        common.extend(sum.to_le_bytes());
        common.extend(narrow(length));
        common.extend(narrow(length));
        common.extend((name.len() as u16).to_le_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend([3, 0]);
        file.extend(name.as_bytes());
        file.extend([0; 3]); // where PyTorch aligns
        file.extend(contents);
        directory.extend(b"PK\x01\x02\0\0");
        directory.extend(&common);
        directory.extend((extra.len() as u16).to_le_bytes());
        directory.extend([0; 10]);
        directory.extend(narrow(place));
        directory.extend(name.as_bytes());
        directory.extend(extra);
    }
    let (place, length) = (file.len() as u64, directory.len() as u64);
    file.extend(directory);
    if form.wide {
        let record = file.len() as u64;
        file.extend(b"PK\x06\x06");
        file.extend([0; 20]);
        for number in [3, 3, length, place] {
            file.extend(number.to_le_bytes());
        }
        file.extend(b"PK\x06\x07\0\0\0\0");
        file.extend(record.to_le_bytes());
        file.extend([1, 0, 0, 0]);
        file.extend(b"PK\x05\x06\0\0\0\0");
        file.extend([255; 12]);
    } else {
        file.extend(b"PK\x05\x06\0\0\0\0\x03\0\x03\0");
        file.extend((length as u32).to_le_bytes());
        file.extend((place as u32).to_le_bytes());
    }
    file.extend([0, 0]);
    file
}

/// The pickle of a tensor over a storage of `numel` numbers.
fn view(numel: i64, offset: i64, shape: &[i64], strides: &[i64]) -> String {
    let tuple = |numbers: &[i64]| {
        let numbers: Vec<String> = numbers.iter().map(|number| format!("I{number}\n")).collect();
        format!("({}t", numbers.concat())
    };
    format!(
        "ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI{numel}\n\
         tQI{offset}\n{}{}I00\nNtR",
        tuple(shape),
        tuple(strides)
    )
}

/// The numbers 0, 1, … 5.
fn six() -> Vec<u8> {
    (0_u8..6).flat_map(|number| f32::from(number).to_le_bytes()).collect()
}

fn read(pickle: impl AsRef<[u8]>) -> Result<Checkpoint, TorchError> {
    Checkpoint::read(zipped(pickle.as_ref(), &six(), &Form::default()))
}

fn names(checkpoint: &Checkpoint) -> Vec<&str> {
    checkpoint.tensors.keys().map(String::as_str).collect()
}

fn refused(pickle: impl AsRef<[u8]>, reason: &str) {
    let message = read(pickle).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains(reason), "expected {reason:?}, found {message:?}");
}

#[test]
fn a_dictionary_under_two_keys_is_full_under_both() {
    let w = view(6, 0, &[6], &[1]);
    let found = read(format!("}}(Vbest\n}}p1\nVw\n{w}sVmodel\ng1\nu.")).unwrap();
    assert_eq!(names(&found), ["best.w", "model.w"]);
    // Filled only after its second mention.
    let found = read(format!("}}(Vbest\n}}p1\nVmodel\ng1\nu0g1\nVw\n{w}s."));
    assert_eq!(names(&found.unwrap()), ["w"]);
    let found = read(format!("}}p0\n(Vbest\n}}p1\nVmodel\ng1\nug1\nVw\n{w}s0.")).unwrap();
    assert_eq!(names(&found), ["best.w", "model.w"]);
}

#[test]
fn an_object_is_named_and_its_tensors_are_found_in_its_attributes() {
    let w = view(6, 0, &[2, 3], &[3, 1]);
    let pickle = format!("}}(Vmodel\n}}Vw\n{w}sVby\n(i__main__\nTrainer\n}}Vema\n{w}sbu.");
    let found = read(pickle).unwrap();
    assert_eq!(names(&found), ["by.ema", "model.w"]);
    assert_eq!(found.objects, ["by: __main__.Trainer"]);
    // What it would be made with is passed over.
    let found = read(format!("}}(Vw\n{w}Vby\n({w}i__main__\nTrainer\nu.")).unwrap();
    assert_eq!((names(&found), found.objects.len()), (vec!["w"], 1));
}

#[test]
fn a_whole_module_gives_its_state_dict() {
    let w = view(6, 0, &[6], &[1]);
    let child = format!(
        "(i__main__\nLayer\n}}(V_parameters\n}}Vweight\n{w}sV_buffers\n}}(Vmean\n{w}Vtemporary\n{w}uV_modules\n}}V_non_persistent_buffers_set\n(Vtemporary\nlub"
    );
    let pickle = format!(
        "(i__main__\nNet\n}}(V_parameters\n}}V_buffers\n}}V_modules\n}}Vlayer\n{child}sub."
    );
    let found = read(pickle).unwrap();
    assert_eq!(names(&found), ["layer.mean", "layer.weight"]);
    assert!(found.objects.is_empty());
}

#[test]
fn views_are_read_by_their_strides_in_either_byte_order() {
    let whole = view(6, 0, &[6], &[1]);
    let turned = view(6, 0, &[3, 2], &[1, 3]);
    let column = view(6, 1, &[2], &[3]);
    let expanded = view(6, 4, &[2, 2], &[0, 1]);
    let none = view(6, 6, &[0, 3], &[3, 1]);
    let pickle = format!(
        "}}(Vwhole\n{whole}Vturned\n{turned}Vcolumn\n{column}Vexpanded\n{expanded}Vnone\n{none}u."
    );
    let numbers = six();
    let reversed = numbers.as_chunks::<4>().0.iter().flat_map(|word| word.iter().rev()).copied();
    let files = [
        zipped(pickle.as_bytes(), &six(), &Form { checked: true, ..Form::default() }),
        zipped(pickle.as_bytes(), &six(), &Form { wide: true, ..Form::default() }),
        zipped(
            pickle.as_bytes(),
            &reversed.collect::<Vec<u8>>(),
            &Form { big_endian: true, ..Form::default() },
        ),
    ];
    for file in files {
        let found = Checkpoint::read(file).unwrap();
        let numbers = |name| found.numbers(name).unwrap();
        assert_eq!(numbers("whole"), [0., 1., 2., 3., 4., 5.]);
        assert_eq!(numbers("turned"), [0., 3., 1., 4., 2., 5.]);
        assert_eq!(numbers("column"), [1., 4.]);
        assert_eq!(numbers("expanded"), [4., 5., 4., 5.]);
        assert!(numbers("none").is_empty());
        assert_eq!(found.shapes()["turned"], [3, 2]);
    }
}

#[test]
fn views_that_leave_their_storage_are_refused() {
    let weight = |view: String| format!("}}Vw\n{view}s.");
    refused(weight(view(6, -1, &[2], &[1])), "found -1");
    refused(weight(view(6, 0, &[2], &[-1])), "found -1");
    refused(weight(view(6, 0, &[-2], &[1])), "found -2");
    refused(weight(view(6, 5, &[2], &[1])), "ends behind the 6 numbers");
    refused(weight(view(6, 0, &[2, 2], &[i64::MAX, 1])), "ends behind");
    refused(weight(view(6, i64::MAX, &[2], &[i64::MAX])), "ends behind");
    refused(weight(view(6, 0, &[2], &[1, 1])), "2 strides");
    refused(weight(view(6, 0, &[1 << 40], &[0])), "by repeating them");
    refused(weight(view(6, 0, &[i64::MAX; 3], &[0; 3])), "by repeating them");
    refused(weight(view(6, 0, &[1; 65], &[0; 65])), "at most 64 axes");
    refused(weight(view(7, 0, &[7], &[1])), "tensor w: needs 28 bytes of storage 0, which has 24");
    refused(weight(view(i64::MAX, 0, &[7], &[1])), "storage 0 has");
    refused(weight(view(6, 0, &[6], &[1]).replace("V0\n", "V1\n")), "storage 1, which has 0");
}

#[test]
fn what_is_damaged_or_compressed_is_named() {
    let pickle = format!("}}Vw\n{}s.", view(6, 0, &[6], &[1]));
    let checked = Form { checked: true, ..Form::default() };
    let mut file = zipped(pickle.as_bytes(), &six(), &checked);
    let place = file.windows(24).position(|part| part == six()).unwrap();
    file[place] ^= 1;
    let error = Checkpoint::read(file).unwrap().numbers("w").unwrap_err();
    assert_eq!(error.to_string(), "tensor w: its storage is damaged");
    let file = zipped(pickle.as_bytes(), &six(), &Form { method: 8, ..Form::default() });
    let error = Checkpoint::read(file).err().unwrap().to_string();
    assert_eq!(error, "byteorder is compressed or encrypted, expected it as it is");
}

#[test]
fn a_call_is_named_and_not_made() {
    let w = view(6, 0, &[6], &[1]);
    let found = read(format!("}}(Vw\n{w}Vnote\ncos\nsystem\n(Vexit 1\ntRu.")).unwrap();
    assert_eq!(found.objects, ["note: os.system"]);
    refused("cos\nsystem\n(Vexit 1\ntR.", "expected a dictionary, found os.system");
}

#[test]
fn what_holds_itself_comes_to_an_end() {
    let w = view(6, 0, &[6], &[1]);
    assert_eq!(names(&read(format!("}}p0\n(Vme\ng0\nVw\n{w}u.")).unwrap()), ["w"]);
    let found = read(format!("}}(Vlist\n]p1\ng1\na{w}au.")).unwrap();
    assert_eq!(names(&found), ["list.1"]);
    let found = read(format!("}}Vx\n(i__main__\nLoop\np1\n}}(Vme\ng1\nVw\n{w}ubs.")).unwrap();
    assert_eq!(names(&found), ["x.w"]);
}

#[test]
fn what_would_grow_is_bounded() {
    let begun = Instant::now();
    let deep = [b"}Vx\n".to_vec(), vec![b'('; 1 << 20], vec![b'l'; 1 << 20], b"s.".to_vec()];
    refused(deep.concat(), "nested too deeply");
    // Each dictionary holds the one before twice.
    let mut doubled = "}p0\n".to_owned();
    for level in 0..60 {
        let next = level + 1;
        let _ = write!(doubled, "}}p{next}\n(Va\ng{level}\nVb\ng{level}\nu");
    }
    refused(doubled + ".", "the same too often");
    // A list that is copied again and again.
    let copies = "cbuiltins\nlist\n(g0\ntR0".repeat(5000);
    let list = format!("({}lp0\n0{copies}}}.", "N".repeat(10_000));
    refused(list, "expected at most 16777216 entries");
    refused([b"}\x8a\xFF".as_slice(), &[1; 8]].concat(), "cut off");
    refused(b"}\x8b\x00\x00\x00\x80", "negative number");
    refused(b"}\x8b\xFF\xFF\xFF\x7F", "cut off");
    refused(b"}\x8e\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", "cut off");
    refused("}p99999999999999999999999\n.", "expected an index");
    refused(b"}r\xFF\xFF\xFF\xFFj\xFE\xFF\xFF\xFF.", "nothing was stored under 4294967294");
    refused(b"}r\xFF\xFF\xFF\xFFj\xFF\xFF\xFF\xFFVx\n.", "expected a dictionary, found str");
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}

#[test]
fn opcodes_that_miss_their_values_are_refused() {
    for opcode in 0..=255_u8 {
        for before in ["", "(", "}(", "(N", "}", "NN", "]N("] {
            let pickle = [before.as_bytes(), &[opcode], b"\n\n\0\0\0\0\0\0\0\0\0."].concat();
            let _ = read(&pickle);
            let _ = read(&pickle[..=before.len()]);
        }
    }
}

/// Reads everything there is to read.
fn exhaust(bytes: Vec<u8>) -> Result<(), TorchError> {
    let checkpoint = Checkpoint::read(bytes)?;
    checkpoint.tensors.keys().try_for_each(|name| checkpoint.numbers(name).map(drop))
}

#[test]
fn a_file_that_was_cut_anywhere_is_refused() {
    for (name, bytes) in FILES {
        assert!(exhaust(bytes.to_vec()).is_ok(), "{name}");
        for length in (0..bytes.len()).step_by(3) {
            assert!(exhaust(bytes[..length].to_vec()).is_err(), "{name} cut at {length}");
        }
    }
}

#[test]
fn a_file_that_was_changed_anywhere_never_panics() {
    for (name, bytes) in FILES {
        let mut pickles = Vec::new();
        if name != "legacy" {
            let zip = Zip::read(bytes).unwrap();
            let pickle = zip.contents(bytes, "data.pkl").unwrap().unwrap();
            // Without a checksum, which would find the change.
            pickles = zipped(pickle, &six(), &Form::default());
        }
        for file in [bytes, &pickles] {
            for place in (0..file.len()).step_by(2) {
                let mut damaged = file.to_vec();
                damaged[place] ^= if place % 4 == 0 { 1 } else { 0xFF };
                let _ = exhaust(damaged);
            }
        }
    }
}

#[test]
fn bytes_in_any_order_never_panic() {
    const OPCODES: &[u8] = b"(012NIJKLMFGSVTUXBC)}]tldaesucioRbQpqrghj.\x80\x81\x82\x85\x86\x87\
        \x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\n\0\x01";
    let mut state = 12_u64;
    for _ in 0..100_000 {
        let bytes: Vec<u8> = (0..48)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                OPCODES[(state >> 33) as usize % OPCODES.len()]
            })
            .collect();
        if let Ok(pickle) = Pickle::read(&bytes) {
            let _ = super::walk::walk(&pickle);
        }
    }
}
