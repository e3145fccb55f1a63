//! What the program says about itself.

use crate::support::Sandbox;
use crate::transcript;

#[test]
fn the_program_lists_its_commands() {
    transcript!(Sandbox::new().lamina("--help"), @r#"
    $ lamina --help
    exit code 0
    --- stdout
    Segment medical images slice by slice, train the networks that do it, and measure how well they do.

    For research. Not a medical device.

    Usage: lamina [OPTIONS] <COMMAND>

    Commands:
      predict      Segment scans: one mask per file, on the grid of the file
      evaluate     Compare predictions with references: Dice, IoU, volumes, distances per case and class
      compare      Compare runs on the same cases: differences, their intervals and Wilcoxon's test
      report       Make one HTML file of runs: numbers with intervals, the worst cases, curves, settings
      plan         Write an experiment for a data set, with the reason for each choice
      train        Train a network as an experiment file says
      cv           Cross-validate an experiment: train every fold, and gather them
      info         Show shape, spacing, orientation, values and labels of volumes
      convert      Write an image or a label map in another format, and check what was written
      overlay      Draw a mask over its image: a PNG of one slice, or a TIFF with a page for each
      check-data   Verify a data set: pairs, sizes, places, labels, duplicates across patients
      networks     List the networks that can be trained, and what they cost
      import       Make a model of the weights of another program
      export       Write the weights of a model by the names of its reference
      fingerprint  Show what a model was trained on, or measure that from its training cases
      forward      Give a model a tensor and write what it answers
      view         Open a window to see an image, segment it and save its labels
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Output:
          --json
              Print the result as JSON on stdout; everything else goes to stderr

      -q, --quiet
              Say nothing on the way but problems

      -v, --verbose...
              Log more: -v for one line per operation, -vv for everything

    Exit codes: 0 done; 1 done, but some cases failed; 2 could not start; 130 stopped, the same command
    goes on from there (train with --resume).
    "#);
}

#[test]
fn without_a_command_the_help_goes_to_stderr() {
    let run = Sandbox::new().lamina("").exits(2);
    assert!(run.stdout.is_empty() && run.stderr.contains("Commands:"), "{run}");
}

#[test]
fn predict_explains_its_options() {
    transcript!(Sandbox::new().lamina("predict --help"), @r#"
    $ lamina predict --help
    exit code 0
    --- stdout
    Segment scans: one mask per file, on the grid of the file

    Usage: lamina predict [OPTIONS] --out <FOLDER> <INPUT>...

    Arguments:
      <INPUT>...  Scans, folders of them, or folders of DICOM files

    Options:
      -o, --out <FOLDER>                Where masks and their records go; made where it is missing
          --format <ENDING>             nii, nii.gz, mha, mhd, nrrd, nhdr, png, tif, or of DICOM series
                                        dicom-seg or dicom-labelmap; the format of each scan, nii.gz for
                                        DICOM, unless given
          --segments <JSON>             Names, colors and codes of the segments of a DICOM segmentation:
                                        JSON as dcmqi takes it; those of the model's classes unless
                                        given
          --model <FOLDER>              The model, or an ensemble; given several times, the mean of
                                        their probabilities. The bundled one unless given
          --device <DEVICE>             auto, cpu, cuda[:N] or wgpu[:N] [default: auto]
          --volume <N>                  Which volume of a scan that holds several, from 0
          --series <N|KEY|UID>          Which DICOM series: its number or key in the list of `info`, or
                                        its SeriesInstanceUID
          --accept-flaws                Take a flawed DICOM series for an even stack: missing slices
                                        repeat their neighbors, of several at one place the first
                                        counts, uneven ones are placed evenly, and a tilted gantry makes
                                        a sheared grid
          --segment <NUMBER>            Which segment of a DICOM segmentation, the others being
                                        background; needed where segments overlap
          --reference <PATH>            Reference masks to score against: a folder, or a file for a
                                        single input
          --volumes <FILE>              Write how much of each class was found in each case to this
                                        table too (.csv or .json)
          --values                      Write the values that the model's data set has for its classes,
                                        not their places in its list: Cityscapes' ids. References have
                                        them too
          --montage                     Draw a picture per case too: slices with outlines
          --report                      Write a page per case too (.html): volumes, outlines, how sure
                                        the model was, and the model
          --uncertainty[=<KIND>]        Write how uncertain each voxel is too, CASE_uncertainty beside
                                        the mask, 0 to 255: entropy of the mean probabilities, or
                                        mutual-information, the part of it that comes from models that
                                        disagree. Slices are listed in the record
          --overwrite                   Make masks again that exist already
          --largest-component <on|off>  Keep only the largest component of each class; as the model says
                                        unless given
          --batch <N>                   Slices that are computed at once; changes time and memory, not
                                        the result
      -h, --help                        Print help

    Looking again, instead of as the model says:
          --tta <none|x|y|flips>  Average over mirrored slices: none, x (left and right), y (top and
                                  bottom) or flips, which is both and each: four passes for one
          --scales <FACTOR,…>     Average over slices in these sizes, 1 being their own: 0.5,1,2. Each
                                  costs its square
          --tile <SIZE|none>      Look at larger slices through windows of this size, a side or
                                  HEIGHTxWIDTH; none looks at whole slices
          --overlap <SHARE>       Share of a window that the next one covers too

    Output:
          --json        Print the result as JSON on stdout; everything else goes to stderr
      -q, --quiet       Say nothing on the way but problems
      -v, --verbose...  Log more: -v for one line per operation, -vv for everything
    "#);
}

#[test]
fn evaluate_explains_its_options() {
    transcript!(Sandbox::new().lamina("evaluate --help"), @r#"
    $ lamina evaluate --help
    exit code 0
    --- stdout
    Compare predictions with references: Dice, IoU, volumes, distances per case and class

    Usage: lamina evaluate [OPTIONS] --prediction <PATH> --reference <PATH>

    Options:
          --prediction <PATH>
              A predicted mask, or a folder of them

          --reference <PATH>
              The reference mask, or a folder of them; paired by file name

          --labels <LABEL,…>
              The classes to score; all labels that occur, unless given

          --label-names <LABEL=NAME,…>
              What the classes are called: 1=anterior,2=posterior

          --model <FOLDER>
              Take classes and their names from this model

          --data <FILE>
              Take classes, what is ignored, and whether to pool from this data set, a file of
              configs/datasets

          --metrics <METRIC,…>
              What to measure: dice, iou, volume, rvd (relative volume difference), hd, hd95, assd,
              masd, nsd (surface Dice), boundary-iou, pixels (accuracy, frequency-weighted IoU,
              confusion matrix). Dice, IoU and volumes, unless given

          --surface
              Measure distances between surfaces too: hd95, assd and nsd

          --tolerance-mm <MM,…>
              How far apart two surfaces may lie and still count as equal for surface Dice [default: 1]

          --boundary-width <WIDTH>
              How wide the band of Boundary IoU is: a share of the diagonal, 3px (both in the plane of
              each slice) or 2mm (in three dimensions) [default: 0.02]

          --convention <NAME>
              Whose rules and numbers: lamina, monai, nnunet, reloaded (MetricsReloaded) or deepmind
              (surface-distance)
              
              [default: lamina]

          --ignore <LABEL,…>
              Labels of the reference that stand for no class: what lies there is not measured

          --aggregate <HOW>
              Measure each case by itself and average, or pool all pixels in one confusion matrix;
              pictures in color are pooled if `--data` says they are, all else is averaged

              Possible values:
              - cases:  Each case by itself, then their mean
              - pooled: All pixels in one confusion matrix

          --csv <FILE>
              Write the scores to this table as well

          --summary <FILE>
              Write nnU-Net's summary.json as well

          --cityscapes
              Cityscapes' official scores: class and category IoU and iIoU, of pictures of ids; the
              reference is a folder with labelIds and instanceIds

          --promise12
              PROMISE12's numbers: Dice, HD95, mean boundary distance and volume difference of the whole
              gland, its base and its apex, which the affine tells apart

          --score-constants <FILE>
              What a second observer reaches, for PROMISE12's score; see configs/scores/promise12.toml

      -h, --help
              Print help (see a summary with '-h')

    Output:
          --json
              Print the result as JSON on stdout; everything else goes to stderr

      -q, --quiet
              Say nothing on the way but problems

      -v, --verbose...
              Log more: -v for one line per operation, -vv for everything
    "#);
}

#[test]
fn train_explains_its_options() {
    transcript!(Sandbox::new().lamina("train --help"), @r#"
    $ lamina train --help
    exit code 0
    --- stdout
    Train a network as an experiment file says

    Usage: lamina train [OPTIONS] --config <FILE> --out <FOLDER>

    Options:
          --config <FILE>                 The experiment, a file of configs/experiments
          --data <FOLDER>                 The folder that holds the data set's folder; LAMINA_DATA
                                          unless given
          --out <FOLDER>                  The run folder: settings, events, checkpoints and the trained
                                          model
          --resume                        Go on from the last checkpoint in the run folder
          --start-from <PATH>             Start from the weights of a bundle, another run or a file
                                          instead of fresh ones; what does not fit, as the last layer
                                          where there are other classes, starts fresh
          --checkpoint-minutes <MINUTES>  The longest time from one checkpoint to the next, in minutes,
                                          0 for one after each step; changes no result [default: 10]
          --device <DEVICE>               auto, cpu, cuda[:N] or wgpu[:N] [default: auto]
          --curves <EPOCHS>               Draw curves every so many epochs, and not at the end alone
          --cache <FOLDER>                Keep prepared cases in this folder, for other runs on the same
                                          data; LAMINA_CACHE, or the user's folder for caches, unless
                                          given. No name of a case is kept
          --no-cache                      Keep no prepared cases, and hold all of them in memory
          --cache-size <GB>               How large the cache may become; what was not used for longest
                                          is removed first [default: 50]
          --no-validation                 Leave out the masks of the held-out cases and their
                                          evaluation, the folder validation
          --threads <N>                   Use this many threads; the result does not depend on it
      -h, --help                          Print help

    Instead of what the experiment says:
          --fold <N>    Hold out this fold, whatever the experiment says
          --epochs <N>  Train this many epochs
          --seed <N>    Start from this seed

    Output:
          --json        Print the result as JSON on stdout; everything else goes to stderr
      -q, --quiet       Say nothing on the way but problems
      -v, --verbose...  Log more: -v for one line per operation, -vv for everything
    "#);
}

#[test]
fn info_and_networks_explain_themselves() {
    transcript!(Sandbox::new().lamina("info -h"), @r#"
    $ lamina info -h
    exit code 0
    --- stdout
    Show shape, spacing, orientation, values and labels of volumes

    Usage: lamina info [OPTIONS] <FILE>...

    Arguments:
      <FILE>...  Volumes, or folders of them

    Options:
          --table               One line for every file, of folders all files in them and below: what it
                                is, or why it cannot be read. Each file of DICOM stands for itself
          --series <N|KEY|UID>  Which DICOM series: its number or key in the list of `info`, or its
                                SeriesInstanceUID
          --accept-flaws        Take a flawed DICOM series for an even stack: missing slices repeat
                                their neighbors, of several at one place the first counts, uneven ones
                                are placed evenly, and a tilted gantry makes a sheared grid
          --segment <NUMBER>    Which segment of a DICOM segmentation, the others being background;
                                needed where segments overlap
      -h, --help                Print help

    Output:
          --json        Print the result as JSON on stdout; everything else goes to stderr
      -q, --quiet       Say nothing on the way but problems
      -v, --verbose...  Log more: -v for one line per operation, -vv for everything
    "#);
    transcript!(Sandbox::new().lamina("networks -h"), @r#"
    $ lamina networks -h
    exit code 0
    --- stdout
    List the networks that can be trained, and what they cost

    Usage: lamina networks [OPTIONS]

    Options:
          --size <HxW>      Height and width of the image that costs are counted for [default:
                            1024x2048]
          --network <NAME>  Only this network, with its settings and all that was published about it
          --config <FILE>   The network of an experiment, or of any TOML file with a table
                            `[network.…]`, instead of the published ones
          --channels <N>    Channels of the image [default: 3]
          --classes <N>     Classes; without it those that the network was published with, 19 for most
      -h, --help            Print help (see more with '--help')

    Output:
          --json        Print the result as JSON on stdout; everything else goes to stderr
      -q, --quiet       Say nothing on the way but problems
      -v, --verbose...  Log more: -v for one line per operation, -vv for everything
    "#);
}

#[test]
fn import_export_and_forward_explain_their_options() {
    transcript!(Sandbox::new().lamina("import -h"), @r#"
    $ lamina import -h
    exit code 0
    --- stdout
    Make a model of the weights of another program

    Usage: lamina import [OPTIONS] --network <NAME> --weights <FILE> --out <BUNDLE>

    Options:
          --network <NAME>  The network, by its name in `lamina networks`
          --config <FILE>   Settings that differ from the named network's, and what the model says of
                            itself; an experiment will do
          --weights <FILE>  The weights: .safetensors, or a PyTorch .pth or .pt, which is read and not
                            run
      -o, --out <BUNDLE>    The model's folder
          --classes <N>     Classes, background included; read off the weights unless given
          --channels <N>    Channels of the input; read off the weights unless given
          --overwrite       Replace a model that is there already [alias: --force]
      -h, --help            Print help

    Output:
          --json        Print the result as JSON on stdout; everything else goes to stderr
      -q, --quiet       Say nothing on the way but problems
      -v, --verbose...  Log more: -v for one line per operation, -vv for everything
    "#);
    transcript!(Sandbox::new().lamina("export -h"), @r#"
    $ lamina export -h
    exit code 0
    --- stdout
    Write the weights of a model by the names of its reference

    Usage: lamina export [OPTIONS] --weights <FILE> <BUNDLE>

    Arguments:
      <BUNDLE>  The model's folder

    Options:
          --weights <FILE>  The .safetensors file to write; replaced where it is there already
      -h, --help            Print help

    Output:
          --json        Print the result as JSON on stdout; everything else goes to stderr
      -q, --quiet       Say nothing on the way but problems
      -v, --verbose...  Log more: -v for one line per operation, -vv for everything
    "#);
    transcript!(Sandbox::new().lamina("forward -h"), @r#"
    $ lamina forward -h
    exit code 0
    --- stdout
    Give a model a tensor and write what it answers

    Usage: lamina forward [OPTIONS] --input <FILE> --output <FILE> <BUNDLE>

    Arguments:
      <BUNDLE>  The model's folder

    Options:
          --input <FILE>     A .safetensors file with the tensor `input`: batch, channels, height, width
          --output <FILE>    The .safetensors file to write, replaced where it is there already:
                             `logits`, and the other outputs of the network by the names of its
                             reference
          --training-heads   Compute the heads too that only training looks at
          --taps             Write what each part of the network answers too, as `tap/PART`
          --inference-graph  Answer with the inference graph: the same forward with batch norms folded
                             into the convolutions, on the CPU. It gives `logits` alone
          --device <DEVICE>  auto, cpu, cuda[:N] or wgpu[:N] [default: auto]
      -h, --help             Print help

    Output:
          --json        Print the result as JSON on stdout; everything else goes to stderr
      -q, --quiet       Say nothing on the way but problems
      -v, --verbose...  Log more: -v for one line per operation, -vv for everything
    "#);
}

#[test]
fn the_version_is_printed() {
    let run = Sandbox::new().lamina("--version").exits(0);
    assert_eq!(run.stdout, concat!("lamina ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn an_unknown_option_is_a_usage_error() {
    transcript!(Sandbox::new().lamina("info --no-such a.nii"), @r#"
    $ lamina info --no-such a.nii
    exit code 2
    --- stderr
    error: unexpected argument '--no-such' found

      tip: to pass '--no-such' as a value, use '-- --no-such'

    Usage: lamina info [OPTIONS] <FILE>...

    For more information, try '--help'.
    "#);
}
