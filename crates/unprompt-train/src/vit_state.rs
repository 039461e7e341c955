//! A run on the disk: what it needs to go on, and what it leaves.

use crate::{
    Parameter, Result, TrainError, Vit, VitTraining,
    tensor_file::{self, Tensor},
};
use std::{collections::HashMap, path::Path};

/// What is kept of each parameter: the weights, both memories of the optimiser, the average.
const KINDS: [&str; 4] = ["weights", "means", "squares", "average"];

impl VitTraining {
    /// Writes everything that the run needs to go on, all or nothing, wherever it computes. `plan` says
    /// what it belongs to.
    ///
    /// # Errors
    /// When it cannot be brought from its device, or the file cannot be written; one that was there before
    /// is then still there.
    pub fn save(&mut self, path: &Path, plan: &str) -> Result<()> {
        self.pull()?;
        let mut tensors = Vec::new();
        for (index, parameter) in self.vit.parameters().iter().enumerate() {
            let all = [
                &parameter.values,
                &self.optimiser.means[index],
                &self.optimiser.squares[index],
                &self.average[index],
            ];
            tensors.extend(KINDS.iter().zip(all).map(|(kind, values)| Tensor {
                name: format!("{kind}.{}", parameter.name),
                shape: &parameter.shape,
                values,
            }));
        }
        let notes = [
            ("plan", plan.to_owned()),
            ("step", self.step.to_string()),
            ("optimiser_steps", self.optimiser.steps.to_string()),
        ];
        tensor_file::write(path, &notes, &tensors)
    }

    /// Goes on from what [`save`](Self::save) wrote: every step from here on has the bits of an unbroken
    /// run.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or belongs to another plan or network.
    pub fn restore(&mut self, path: &Path, plan: &str) -> Result<()> {
        let (notes, mut tensors) = tensor_file::read(path)?;
        let damaged = |why: String| {
            let path = path.to_owned();
            TrainError::Damaged { path, why }
        };
        if notes.get("plan").map(String::as_str) != Some(plan) {
            return Err(TrainError::OtherPlan(path.to_owned()));
        }
        let number = |name: &str| -> Result<u64> {
            let number = notes.get(name).and_then(|text| text.parse().ok());
            number.ok_or_else(|| damaged(format!("it has no `{name}`")))
        };
        let (step, optimiser_steps) = (number("step")?, number("optimiser_steps")?);
        if step > self.steps() {
            return Err(damaged(format!("step {step} of {}", self.steps())));
        }
        let mut restored: [Vec<Vec<f32>>; 4] = Default::default();
        for parameter in self.vit.parameters() {
            for (kind, restored) in KINDS.iter().zip(&mut restored) {
                restored.push(taken(&mut tensors, kind, parameter).map_err(damaged)?);
            }
        }
        let [weights, means, squares, average] = restored;
        for (parameter, values) in self.vit.parameters_mut().iter_mut().zip(weights) {
            parameter.values = values;
        }
        self.optimiser.means = means;
        self.optimiser.squares = squares;
        self.optimiser.steps = optimiser_steps;
        self.average = average;
        self.step = step;
        self.push()
    }
}

impl Vit {
    /// Writes the network in the layout of timm.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors = self.parameters().iter().map(|parameter| Tensor {
            name: parameter.name.clone(),
            shape: &parameter.shape,
            values: &parameter.values,
        });
        // Readers ask the notes what the file was made with.
        let notes = [("format", "pt".to_owned())];
        tensor_file::write(path, &notes, &tensors.collect::<Vec<_>>())
    }
}

/// The values of a parameter's kind.
fn taken(
    tensors: &mut HashMap<String, Parameter>,
    kind: &str,
    parameter: &Parameter,
) -> std::result::Result<Vec<f32>, String> {
    let name = format!("{kind}.{}", parameter.name);
    match tensors.remove(&name) {
        Some(found) if found.shape == parameter.shape => Ok(found.values),
        Some(found) => Err(format!(
            "tensor `{name}` has shape {:?}, expected {:?}",
            found.shape, parameter.shape
        )),
        None => Err(format!("it has no tensor `{name}`")),
    }
}
