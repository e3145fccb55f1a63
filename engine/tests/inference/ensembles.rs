//! Several models together, against each of them alone.

use lamina_engine::ensemble::{Described, Ensemble, EnsembleFile, Member};
use lamina_engine::inference::{Segmentation, TidyOf, TidyStep, UncertaintyMap, segment_together};

use lamina_io::CaseImage;

use super::*;

fn together(members: Vec<Model>) -> Ensemble {
    let mut manifest = members[0].manifest.clone();
    manifest.name = "together".into();
    Ensemble { manifest, members }
}

fn gray(volume: &Volume) -> CaseImage {
    CaseImage::Gray(volume.clone())
}

fn found(volume: &Volume, ensemble: &Ensemble, map: Option<UncertaintyMap>) -> Segmentation {
    let found = segment_together("case", &gray(volume), ensemble, map, &Silent).unwrap();
    assert_eq!(found.labels.geometry, volume.geometry);
    assert_eq!(found.labels.source, volume.source);
    found
}

/// As [`arbitrary`], in another plane, from other weights.
fn other(plane: Plane, gain: f64) -> Model {
    let preprocessing = PreprocessConfig { neighbors: 1, ..preprocessing(plane) };
    let network = UnetConfig { base_channels: 4, depth: 3 };
    let manifest = manifest(network, preprocessing, InferenceConfig::default(), 3);
    let names = manifest.network.name_map();
    model(manifest, |network| fill(network, &names, gain))
}

#[test]
fn one_member_alone_is_the_model_bit_for_bit() {
    let (volume, _) = noise([5, 10, 9], straight([5, 10, 9]));
    let alone = segment_volume("case", &volume, &arbitrary(InferenceConfig::default()), &Silent);
    let alone = alone.unwrap();
    let ensemble = together(vec![arbitrary(InferenceConfig::default())]);
    for map in [None, Some(UncertaintyMap::Entropy)] {
        let found = found(&volume, &ensemble, map);
        assert!(found.labels.labels == alone.labels.labels);
        assert_eq!((found.doubt, found.passes), (alone.doubt, alone.passes));
        assert_eq!((found.uncertainty.is_some(), found.agreement), (map.is_some(), None));
    }
    let refused = segment_together(
        "case",
        &gray(&volume),
        &ensemble,
        Some(UncertaintyMap::MutualInformation),
        &Silent,
    );
    assert!(refused.unwrap_err().to_string().contains("expected several models"));
}

#[test]
fn members_that_are_the_same_agree_with_the_model_in_everything() {
    let (volume, _) = noise([5, 10, 9], straight([5, 10, 9]));
    let alone = segment_volume("case", &volume, &arbitrary(InferenceConfig::default()), &Silent);
    let alone = alone.unwrap();
    assert!(alone.labels.counts().len() > 1);
    let same = || arbitrary(InferenceConfig::default());
    let ensemble = together(vec![same(), same(), same()]);
    let found = found(&volume, &ensemble, Some(UncertaintyMap::MutualInformation));
    assert!(found.labels.labels == alone.labels.labels);
    assert!((found.doubt.risk - alone.doubt.risk).abs() < 1e-5);
    assert_eq!(found.passes, 3 * alone.passes);
    let agreement = found.agreement.unwrap();
    assert_eq!((agreement.members, agreement.dice), (3, Some(1.0)));
    assert!(agreement.mutual_information < 1e-5 && agreement.entropy > 0.1, "{agreement:?}");
    assert!(agreement.slices.iter().all(|slice| slice.dice.is_none_or(|dice| dice == 1.0)));
    assert_eq!((agreement.axis, agreement.slices.len()), (2, 5));
    assert!(found.uncertainty.unwrap().labels.iter().all(|value| *value == 0));
}

/// A network that looks at a pixel alone gives the same labels in every plane, so that members in
/// three planes have to find what is bright just where it is: of a volume that is unlike in all
/// directions, in every order of its axes.
#[test]
fn three_planes_meet_where_they_belong() {
    let (volume, _) = noise([5, 6, 7], straight([5, 6, 7]));
    let values = volume.to_f32();
    let (mean, deviation) = (values.mean().unwrap(), values.std(0.0));
    let bright_voxels = values.mapv(|value| u8::from((value - mean) / deviation > 1.0));
    let expected = LabelVolume::new(bright_voxels, volume.geometry.clone()).unwrap();
    assert!(expected.counts()[&1] > 20);
    let member = |plane| bright(preprocessing(plane), InferenceConfig::default());
    let ensemble = together([Plane::Axial, Plane::Coronal, Plane::Sagittal].map(member).into());
    for order in AxisOrder::all() {
        let turned = volume.reoriented(&order);
        let found = found(&turned, &ensemble, Some(UncertaintyMap::Entropy));
        assert!(found.labels.labels == expected.reoriented(&order).labels, "{order:?}");
        let agreement = found.agreement.unwrap();
        assert_eq!(agreement.dice, Some(1.0), "{order:?}");
        // Slices are those of the first member: axial, across what runs to the head.
        assert_eq!(agreement.slices.len(), 5);
        assert_eq!(turned.shape()[2 - agreement.axis], 5);
    }
}

/// What meets voxel by voxel is what is averaged batch by batch, but for rounding to 16 bits.
#[test]
fn both_ways_through_a_volume_give_the_same() {
    let (volume, _) = noise([5, 10, 9], straight([5, 10, 9]));
    let crossing = together(vec![
        other(Plane::Axial, 1.0),
        other(Plane::Axial, 0.8),
        other(Plane::Coronal, 1.0),
    ]);
    // By hand: each member's probabilities of each class on the grid of the volume.
    let mut mean = vec![Array3::<f64>::zeros([5, 10, 9]); 3];
    for model in &crossing.members {
        let prepared =
            Preprocessor::new(model.manifest.preprocessing.clone()).prepare(&volume).unwrap();
        for class in 0..3_u8 {
            let extras = Extras { doubt: false, probability_of: Some(class) };
            let all = vec![(0..prepared.len()).collect::<Vec<_>>()];
            let mut shares = Array3::<u8>::zeros([5, 10, 9]);
            label_batches(&prepared, &model.as_labeler(), &all, extras, &mut |slices| {
                for slice in slices {
                    let probability = slice.probability.unwrap();
                    prepared.placement().write_slice(
                        slice.index,
                        probability.view(),
                        shares.view_mut(),
                    );
                }
                Flow::Continue
            })
            .unwrap();
            mean[usize::from(class)] += &shares.mapv(|share| f64::from(share) / (3.0 * 255.0));
        }
    }
    let found = found(&volume, &crossing, None).labels;
    assert!(found.counts().len() > 1);
    let mut clear = 0;
    for (place, &label) in found.labels.indexed_iter() {
        let of = |class: usize| mean[class][place];
        let mut order = [0, 1, 2];
        order.sort_by(|a, b| of(*b).total_cmp(&of(*a)));
        if of(order[0]) - of(order[1]) > 0.01 {
            clear += 1;
            assert_eq!(usize::from(label), order[0], "{place:?}");
        }
    }
    assert!(clear > 300, "{clear}");
}

#[test]
fn what_a_member_crops_away_is_background_to_it() {
    let (volume, _) = noise([4, 6, 7], straight([4, 6, 7]));
    let member = |crop, plane| {
        let config = PreprocessConfig {
            crop,
            normalization: Normalization::Window { level_hu: -10.0, width_hu: 2.0 },
            ..preprocessing(plane)
        };
        // Everything is 1 to it, so only the crop knows the background.
        let mut model = bright(config, InferenceConfig::default());
        let names = model.manifest.network.name_map();
        model.network = replace_weights(model.network, &names, |name, _| {
            (name == "head.bias").then(|| vec![0.0, -0.5])
        });
        model
    };
    let nonzero = volume.to_f32().mapv(|value| u8::from(value != 0.0));
    for plane in [Plane::Axial, Plane::Coronal] {
        let members = vec![member(Crop::Nonzero, Plane::Axial), member(Crop::Nonzero, plane)];
        assert!(found(&volume, &together(members), None).labels.labels == nonzero, "{plane:?}");
    }
    // One of two says with a probability of 0.62 that it is, one that it is not for sure.
    let members = vec![member(Crop::None, Plane::Axial), member(Crop::Nonzero, Plane::Axial)];
    let found = found(&volume, &together(members), None);
    assert!(found.labels.labels == nonzero);
    assert!(found.agreement.unwrap().dice.unwrap() < 0.9);
}

#[test]
fn labels_are_tidied_up_as_the_ensemble_says() {
    let mut values = Array3::zeros([1, 4, 8]);
    values.slice_mut(ndarray::s![0, 1, 1..3]).fill(9.0);
    values.slice_mut(ndarray::s![0, 2, 5..8]).fill(9.0);
    let volume = Volume::from_array(values, straight([1, 4, 8])).unwrap();
    let member = || bright(preprocessing(Plane::Axial), InferenceConfig::default());
    let mut ensemble = together(vec![member(), member()]);
    assert_eq!(found(&volume, &ensemble, None).labels.counts()[&1], 5);
    ensemble
        .configure(|inference| {
            inference.post_processing = vec![TidyStep::KeepLargest { of: TidyOf::Foreground }];
        })
        .unwrap();
    assert_eq!(found(&volume, &ensemble, None).labels.counts()[&1], 3);
}

#[test]
fn an_ensemble_stops_when_told() {
    let (volume, _) = noise([5, 6, 7], straight([5, 6, 7]));
    for plane in [Plane::Axial, Plane::Sagittal] {
        let ensemble = together(vec![other(Plane::Axial, 1.0), other(plane, 1.0)]);
        let script = Script::stop_at(|event| matches!(event, Event::SlicesDone { .. }));
        let stopped = segment_together("case", &gray(&volume), &ensemble, None, &script);
        assert!(matches!(stopped, Err(EngineError::Stopped)), "{plane:?}");
    }
}

/// Bundles `a` and `b` in a folder.
fn bundles_on_disk(classes_of_b: usize) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, classes) in [("a", 3), ("b", classes_of_b)] {
        let config = preprocessing(Plane::Axial);
        let network = UnetConfig { base_channels: 4, depth: 2 };
        let mut manifest = manifest(network, config, InferenceConfig::default(), classes);
        name.clone_into(&mut manifest.name);
        let names = manifest.network.name_map();
        let network = fill(fresh(&manifest), &names, if name == "a" { 1.0 } else { 0.9 });
        write_bundle(&folder.path().join(name), manifest, &network, Storage::F32).unwrap();
    }
    folder
}

fn written(folder: &TempDir, change: impl Fn(&mut EnsembleFile)) -> Result<Described, EngineError> {
    let member = |name: &str| Member { folder: format!("../{name}"), weights_sha256: None };
    let mut file = EnsembleFile::new("both".into(), "Both".into(), vec![member("a"), member("b")]);
    change(&mut file);
    let place = folder.path().join("both");
    std::fs::create_dir_all(&place).unwrap();
    file.write(&place).unwrap();
    Described::read(&[place])
}

#[test]
fn an_ensemble_on_disk_is_its_members_and_named_by_their_hashes() {
    let folder = bundles_on_disk(3);
    let described = written(&folder, |_| {}).unwrap();
    assert_eq!((described.manifest.name.as_str(), described.members.len()), ("both", 2));
    let named = Described::read(&["a", "b"].map(|name| folder.path().join(name))).unwrap();
    assert_eq!(named.manifest.name, "a + b");
    assert_eq!(named.manifest.weights.sha256, described.manifest.weights.sha256);
    let [a, b] = [0, 1].map(|index| named.members[index].1.weights.sha256.clone());
    assert_eq!(named.manifest.weights.sha256, sha256(format!("{a}\n{b}").as_bytes()));
    assert!(a != b);
    let alone = Described::read(&[folder.path().join("a")]).unwrap();
    assert_eq!((alone.manifest.weights.sha256.as_str(), alone.members.len()), (a.as_str(), 1));
    let loaded = Ensemble::load(&described, &DeviceChoice::Cpu.open()).unwrap();
    assert_eq!(loaded.members.len(), 2);

    // The rest of the program, which takes one model, says so.
    let message = Manifest::read(&folder.path().join("both")).unwrap_err().to_string();
    assert!(message.contains("found an ensemble of several"), "{message}");
}

#[test]
fn members_that_do_not_fit_together_are_refused() {
    let folder = bundles_on_disk(2);
    let message = written(&folder, |_| {}).unwrap_err().to_string();
    let expected = "expected the classes of a (class 0, class 1, class 2), found others \
                    (class 0, class 1)";
    assert!(message.contains(expected), "{message}");

    let folder = bundles_on_disk(3);
    let refused = |change: fn(&mut EnsembleFile)| written(&folder, change).unwrap_err().to_string();
    let message = refused(|file| file.members[1].weights_sha256 = Some("0".repeat(64)));
    assert!(message.contains("not the member that ensemble.toml names"), "{message}");
    let message = refused(|file| file.members.clear());
    assert!(message.contains("expected 1 to 64 members, found 0"), "{message}");
    let message = refused(|file| file.members[0].folder = "/a".into());
    assert!(message.contains("as seen from here, found \"/a\""), "{message}");
    let message = refused(|file| file.format = 2);
    assert!(message.contains("expected an ensemble of format 1, found 2"), "{message}");

    let path = folder.path().join("b/model.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"off\"", "\"foreground\"")).unwrap();
    let both = ["a", "b"].map(|name| folder.path().join(name));
    let message = Described::read(&both).unwrap_err().to_string();
    assert!(message.contains("tidy up their labels in different ways"), "{message}");
}
