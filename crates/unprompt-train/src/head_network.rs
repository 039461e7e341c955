//! A head that is trained by gradient: linear, or with a normalised hidden layer.

use crate::{
    Affine, Gradients, HeadWeights, Parameter, Result, TrainError, Treatment,
    loss::{cosine_loss, entropy_loss},
    parameters::in_order,
    random::Random,
};
use unprompt_nn::{
    Activation,
    training::{
        BatchStatistics, LinearShape, Normalised, activate, activate_backward, batch_norm,
        batch_norm_backward, bias_backward, input_backward, linear, weight_backward,
    },
};

/// As PyTorch's `BatchNorm1d` has them.
const EPSILON: f32 = 1e-5;
const MOMENTUM: f64 = 0.1;

/// How much the words count beside the cosine.
const WORDS: f64 = 0.1;

/// What a head looks like: linear without bias, or Linear-BatchNorm-ReLU-Linear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadShape {
    /// Features that it takes.
    pub inputs: usize,
    /// Width of the hidden layer, if there is one.
    pub hidden: Option<usize>,
    /// Numbers that it gives.
    pub outputs: usize,
    /// Words that it has to tell besides, from the hidden layer; 0 for none.
    pub words: usize,
}

/// A head in training.
#[derive(Clone, Debug)]
pub struct HeadNetwork {
    shape: HeadShape,
    parameters: Vec<Parameter>,
    /// The means and variances of the hidden layer, over time.
    running: BatchStatistics,
}

/// Some samples together, as rows.
#[derive(Clone, Copy, Debug)]
pub struct HeadBatch<'a> {
    /// (samples, inputs)
    pub features: &'a [f32],
    /// (samples, outputs)
    pub targets: &'a [f32],
    /// The words of each sample.
    pub words: &'a [&'a [u32]],
    /// How much each sample counts.
    pub counts: &'a [f64],
}

impl HeadShape {
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let Self {
            inputs,
            outputs,
            words,
            ..
        } = *self;
        let named = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
        let Some(hidden) = self.hidden else {
            return vec![named("output.weight", &[outputs, inputs])];
        };
        let mut tensors = vec![
            named("hidden.weight", &[hidden, inputs]),
            named("norm.weight", &[hidden]),
            named("norm.bias", &[hidden]),
            named("output.weight", &[outputs, hidden]),
            named("output.bias", &[outputs]),
        ];
        if words > 0 {
            tensors.push(named("words.weight", &[words, hidden]));
            tensors.push(named("words.bias", &[words]));
        }
        tensors
    }
}

impl HeadNetwork {
    /// A head that knows nothing yet.
    ///
    /// # Errors
    /// When a width is 0, or there are words and no hidden layer that they could teach.
    pub fn new(shape: HeadShape, seed: u64) -> Result<Self> {
        let mut random = Random::of(&[seed, 0x006d_6c70]);
        let tensors = shape.tensors().into_iter().map(|(name, sizes)| {
            let count = sizes.iter().product();
            let values = match (name.as_str(), sizes.as_slice()) {
                ("norm.weight", _) => vec![1.0; count],
                ("norm.bias", _) => vec![0.0; count],
                (_, &[_, inputs]) => random.layer(count, inputs),
                _ => random.layer(count, shape.hidden.unwrap_or(shape.inputs)),
            };
            Parameter {
                name,
                shape: sizes,
                values,
            }
        });
        Self::of(shape, tensors.collect())
    }

    /// A head of these tensors.
    ///
    /// # Errors
    /// As for [`new`](Self::new), and when a tensor is missing or of another shape.
    pub fn of(shape: HeadShape, tensors: Vec<Parameter>) -> Result<Self> {
        if shape.inputs == 0 || shape.outputs == 0 || shape.hidden == Some(0) {
            return Err(TrainError::Data(format!("a head of no width: {shape:?}")));
        }
        if shape.words > 0 && shape.hidden.is_none() {
            return Err(TrainError::Data(
                "words are learnt by a hidden layer, and a linear head has none".into(),
            ));
        }
        let hidden = shape.hidden.unwrap_or(0);
        Ok(Self {
            shape,
            parameters: in_order(tensors, &shape.tensors())?,
            running: BatchStatistics {
                mean: vec![0.0; hidden],
                variance: vec![1.0; hidden],
            },
        })
    }

    /// Its tensors.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The same, to be changed; names and shapes must stay.
    pub fn parameters_mut(&mut self) -> &mut [Parameter] {
        &mut self.parameters
    }

    /// The mean and the variance of each value of the hidden layer, as PyTorch keeps them.
    pub fn running(&self) -> &BatchStatistics {
        &self.running
    }

    /// How each tensor is trained: matrices decay, vectors do not.
    pub fn treatments(&self, decay: f64) -> Vec<Treatment> {
        let treatment = |parameter: &Parameter| Treatment {
            rate: 1.0,
            decay: if parameter.shape.len() > 1 {
                decay
            } else {
                0.0
            },
        };
        self.parameters.iter().map(treatment).collect()
    }

    /// The mean loss of a batch, one less the cosine and a tenth of the words' binary entropy, and
    /// its gradients. The running statistics move on.
    ///
    /// # Errors
    /// When the rows do not fit the head, or a hidden layer gets fewer than two.
    pub fn learn(&mut self, batch: &HeadBatch<'_>) -> Result<(f64, Gradients)> {
        let rows = batch.counts.len();
        let fits = batch.features.len() == rows * self.shape.inputs
            && batch.targets.len() == rows * self.shape.outputs
            && batch.words.len() == rows;
        if !fits || rows == 0 {
            return Err(TrainError::Data(format!(
                "a batch of {rows} rows that a head of {:?} does not fit",
                self.shape
            )));
        }
        let shares: Vec<f64> = batch
            .counts
            .iter()
            .map(|count| count / rows as f64)
            .collect();
        match self.shape.hidden {
            None => self.learn_linear(batch, &shares),
            Some(hidden) => self.learn_hidden(batch, &shares, hidden),
        }
    }

    fn learn_linear(&self, batch: &HeadBatch<'_>, shares: &[f64]) -> Result<(f64, Gradients)> {
        let shape = LinearShape {
            outputs: self.shape.outputs,
            inputs: self.shape.inputs,
        };
        let outputs = linear(batch.features, self.values(0), None, shape)?;
        let loss = cosine_loss(&outputs, batch.targets, shape.outputs, shares);
        let mut gradient = Vec::new();
        weight_backward(batch.features, &loss.gradient, shape, &mut gradient)?;
        Ok((loss.value, vec![gradient]))
    }

    fn learn_hidden(
        &mut self,
        batch: &HeadBatch<'_>,
        shares: &[f64],
        hidden: usize,
    ) -> Result<(f64, Gradients)> {
        let HeadShape {
            inputs,
            outputs,
            words,
            ..
        } = self.shape;
        let shape = |outputs, inputs| LinearShape { outputs, inputs };
        let mut gradients: Gradients = vec![Vec::new(); self.parameters.len()];

        let first = linear(batch.features, self.values(0), None, shape(hidden, inputs))?;
        let (normal, statistics) = batch_norm(&first, self.norm())?;
        let active = activate(Activation::Relu, &normal)?;
        let second = shape(outputs, hidden);
        let answers = linear(&active, self.values(3), Some(self.values(4)), second)?;
        let cosines = cosine_loss(&answers, batch.targets, outputs, shares);
        let mut value = cosines.value;

        weight_backward(&active, &cosines.gradient, second, &mut gradients[3])?;
        bias_backward(&cosines.gradient, outputs, &mut gradients[4])?;
        let mut by_active = input_backward(&cosines.gradient, self.values(3), second)?;
        if words > 0 {
            let third = shape(words, hidden);
            let logits = linear(&active, self.values(5), Some(self.values(6)), third)?;
            let shares: Vec<f64> = shares.iter().map(|share| share * WORDS).collect();
            let entropies = entropy_loss(&logits, batch.words, words, &shares);
            value += entropies.value;
            weight_backward(&active, &entropies.gradient, third, &mut gradients[5])?;
            bias_backward(&entropies.gradient, words, &mut gradients[6])?;
            let more = input_backward(&entropies.gradient, self.values(5), third)?;
            for (sum, value) in by_active.iter_mut().zip(more) {
                *sum += value;
            }
        }
        activate_backward(Activation::Relu, &normal, &mut by_active)?;
        let (before, behind) = gradients.split_at_mut(2);
        let pair = [&mut before[1], &mut behind[0]];
        let by_first = batch_norm_backward(&first, &by_active, self.norm(), &statistics, pair)?;
        weight_backward(
            batch.features,
            &by_first,
            shape(hidden, inputs),
            &mut gradients[0],
        )?;
        self.move_on(&statistics, shares.len());
        Ok((value, gradients))
    }

    /// The head as it answers from now on: the normalisation becomes part of the first layer.
    pub fn weights(&self, target_mean: Vec<f64>) -> HeadWeights {
        let rows = |index: usize| -> Vec<Vec<f64>> {
            let parameter = &self.parameters[index];
            let width = parameter.shape[1];
            let rows = parameter.values.chunks_exact(width);
            rows.map(|row| row.iter().copied().map(f64::from).collect())
                .collect()
        };
        if self.shape.hidden.is_none() {
            return HeadWeights {
                hidden: None,
                output: Affine {
                    weight: rows(0),
                    bias: vec![0.0; self.shape.outputs],
                },
                target_mean,
            };
        }
        let mut hidden = Affine {
            weight: rows(0),
            bias: Vec::new(),
        };
        let statistics = self.running.mean.iter().zip(&self.running.variance);
        let norm = self.values(1).iter().zip(self.values(2));
        for (row, ((gain, shift), (mean, variance))) in
            hidden.weight.iter_mut().zip(norm.zip(statistics))
        {
            let scale = f64::from(*gain) / (f64::from(*variance) + f64::from(EPSILON)).sqrt();
            row.iter_mut().for_each(|value| *value *= scale);
            hidden
                .bias
                .push(f64::from(*shift) - scale * f64::from(*mean));
        }
        HeadWeights {
            hidden: Some(hidden),
            output: Affine {
                weight: rows(3),
                bias: self.values(4).iter().copied().map(f64::from).collect(),
            },
            target_mean,
        }
    }

    fn move_on(&mut self, batch: &BatchStatistics, rows: usize) {
        // The running variance has Bessel's correction, the one that normalises a batch has not.
        let correction = rows as f64 / (rows as f64 - 1.0);
        let step = |running: &mut f32, value: f64| {
            *running = (f64::from(*running) * (1.0 - MOMENTUM) + MOMENTUM * value) as f32;
        };
        for (running, value) in self.running.mean.iter_mut().zip(&batch.mean) {
            step(running, f64::from(*value));
        }
        for (running, value) in self.running.variance.iter_mut().zip(&batch.variance) {
            step(running, f64::from(*value) * correction);
        }
    }

    fn norm(&self) -> Normalised<'_> {
        Normalised {
            weight: self.values(1),
            bias: self.values(2),
            epsilon: EPSILON,
        }
    }

    fn values(&self, index: usize) -> &[f32] {
        &self.parameters[index].values
    }
}
