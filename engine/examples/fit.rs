use std::path::Path;
use lamina_engine::{device::DeviceChoice, experiment::Experiment, observer::*, training::*};
use lamina_io::dataset::Dataset;
struct Print;
impl Observer for Print {
    fn on(&self, e: &Event) -> Flow {
        match e {
            Event::Step { step, loss, epoch, .. } => if step % 20 == 0 { println!("{epoch} {step} {loss:.4}") },
            e => println!("{}", serde_json::to_string(e).unwrap()),
        }
        Flow::Continue
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let path = Path::new(&a[1]);
    let experiment = Experiment::read(path).unwrap_or_else(|e| panic!("{e}"));
    let dataset = Dataset::open(experiment.read_dataset(path).unwrap(), Path::new(&a[2])).unwrap_or_else(|e| panic!("{e}"));
    let run = RunFolder::create(Path::new(&a[3])).unwrap();
    let device = DeviceChoice::Cpu.open();
    let r = Fit { experiment: &experiment, dataset: &dataset, run: &run, device: &device, resume: true }.run(&Print);
    println!("{r:?}");
}
