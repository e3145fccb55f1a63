//! Walks through the weights of a module.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};

use super::{ModulePath, NameMap, NamedTensor, NamedTensors};

/// All weights and running statistics of `network`, by reference name.
pub fn values_by_name<M: Module>(network: &M, names: &NameMap) -> NamedTensors {
    struct Values<'a> {
        path: ModulePath,
        names: &'a NameMap,
        found: NamedTensors,
    }
    impl ModuleVisitor for Values<'_> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.leave();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = (self.names.reference_name)(&self.path.to_string());
            let data = param.val().into_data().convert_dtype(DType::F32);
            let values = data.try_to_vec().expect("converted to f32");
            let shape = data.shape().to_vec();
            let before = self.found.insert(name, NamedTensor { shape, values });
            assert!(before.is_none(), "two weights have the same reference name");
        }
    }
    let mut values = Values { path: ModulePath::default(), names, found: BTreeMap::new() };
    // Batch norms take over what they learned last only when they leave training.
    network.valid().visit(&mut values);
    values.found
}

/// Where each weight and running statistic of `network` is, and its shape.
pub fn shapes_by_path<M: Module>(network: &M) -> BTreeMap<String, Vec<usize>> {
    #[derive(Default)]
    struct Shapes {
        path: ModulePath,
        found: BTreeMap<String, Vec<usize>>,
    }
    impl ModuleVisitor for Shapes {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.leave();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let shape = param.lazy_shape().to_vec();
            self.found.insert(self.path.to_string(), shape);
        }
    }
    let mut shapes = Shapes::default();
    network.visit(&mut shapes);
    shapes.found
}

/// The shape of each weight and running statistic of `network`, by reference name.
pub fn reference_shapes<M: Module>(network: &M, names: &NameMap) -> BTreeMap<String, Vec<usize>> {
    let rename = |(path, shape): (String, _)| ((names.reference_name)(&path), shape);
    shapes_by_path(network).into_iter().map(rename).collect()
}

/// How many numbers of `network` training changes, of those at paths that `counts` accepts.
/// Running statistics are not among them.
pub fn trainable_parameters<M: Module>(network: &M, counts: impl Fn(&str) -> bool) -> usize {
    shapes_by_path(network)
        .iter()
        .filter(|(path, _)| {
            !path.ends_with(".running_mean") && !path.ends_with(".running_var") && counts(path)
        })
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum()
}

/// `network` with each weight replaced for which `values` answers, given its reference name and
/// its shape.
///
/// Burn shares running statistics between a network and its clones: replaced in one, they are
/// replaced in all.
#[must_use]
pub fn replace_weights<M: Module>(
    network: M,
    names: &NameMap,
    values: impl FnMut(&str, &[usize]) -> Option<Vec<f32>>,
) -> M {
    struct Replace<'a, F> {
        path: ModulePath,
        names: &'a NameMap,
        values: F,
    }
    impl<F: FnMut(&str, &[usize]) -> Option<Vec<f32>>> ModuleMapper for Replace<'_, F> {
        fn enter_module(&mut self, name: &str, container: &str) {
            self.path.enter(name, container);
        }
        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.leave();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let name = (self.names.reference_name)(&self.path.to_string());
            let shape = param.lazy_shape();
            let Some(values) = (self.values)(&name, shape.as_slice()) else {
                return param;
            };
            let data = TensorData::new(values, shape);
            let tensor = Tensor::from_data(data, &param.lazy_device());
            let id = param.id;
            param.transform_for_load(tensor, id)
        }
    }
    network.map(&mut Replace { path: ModulePath::default(), names, values })
}
