//! A step: the discriminator learns to tell a batch of real images from as many made ones, and the generator to make images
//! that it takes for real. Goodfellow et al., arXiv:1406.2661, algorithm 1. Several processes take a step together, as one with
//! all their images does.

use anyhow::Result;
use rand::RngExt;
use tch::{Device, TchError, Tensor, no_grad};

use super::latent::{of_step, with_classes};
use super::losses;
use super::pixels::Pixels;
use crate::device;
use crate::experiment::gan::{AdversarialLoss, Latent};
use crate::experiment::{Gan, Training};
use crate::image::batch::Batch;
use crate::network::{Mode, Network};
use crate::processes::Processes;
use crate::random;
use crate::training::batches::TrainingBatch;
use crate::training::optimizer::{Optimizer, in_order};
use crate::training::precision;

/// Both networks in training, with everything that a step needs.
#[derive(Debug)]
pub struct Opponents {
    /// Makes images.
    pub generator: Player,
    /// Judges them.
    pub discriminator: Player,
    loss: AdversarialLoss,
    label_smoothing: f64,
    discriminator_steps: u64,
    latent: Latent,
    classes: i64,
    pixels: Pixels,
    sync_batch_norm: bool,
    seed: u64,
    processes: Processes,
}

/// A network with its optimiser.
#[derive(Debug)]
pub struct Player {
    /// The network.
    pub network: Network,
    optimizer: Optimizer,
    weights: Vec<Tensor>,
    /// The running statistics that training changes.
    statistics: Vec<Tensor>,
}

/// What came out of a step, before its updates: means over the images of all processes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Played {
    /// The number of real images, and of made ones.
    pub images: u64,
    /// The discriminator's loss.
    pub discriminator_loss: f64,
    /// The generator's, if it was its turn.
    pub generator_loss: Option<f64>,
    /// The discriminator's output for real images; as a probability if it stands for one.
    pub real: f64,
    /// The same for made images.
    pub made: f64,
}

impl Opponents {
    /// Readies two networks to be trained.
    ///
    /// # Errors
    /// Returns an error if the device cannot train so, or is out of memory.
    pub fn new(generator: Network, mut discriminator: Network, gan: &Gan) -> Result<Self> {
        let (shared, device) = (gan.shared(), generator.device());
        if let AdversarialLoss::Wasserstein { .. } = gan.training.loss {
            discriminator.differentiate_twice();
        }
        Ok(Opponents {
            generator: Player::new(generator, &shared)?,
            discriminator: Player::new(discriminator, &shared)?,
            loss: gan.training.loss,
            label_smoothing: gan.training.label_smoothing,
            discriminator_steps: gan.training.discriminator_steps,
            latent: gan.latent,
            classes: gan.classes(),
            pixels: Pixels::of(gan, device),
            sync_batch_norm: gan.training.sync_batch_norm,
            seed: gan.training.seed,
            processes: Processes::alone(),
        })
    }

    /// The same in one of several processes that train together, each on its own images.
    #[must_use]
    pub fn among(mut self, processes: &Processes) -> Self {
        if self.sync_batch_norm {
            self.generator.network.normalise_over(processes);
            self.discriminator.network.normalise_over(processes);
        }
        Opponents { processes: processes.clone(), ..self }
    }

    /// The device of both networks.
    pub fn device(&self) -> Device {
        self.generator.network.device()
    }

    /// Trains on images of the generator's size and their classes, those of all processes as one batch. Nothing is learned if
    /// one of them has no images. If a loss is NaN or infinite, its network does not change.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory, or another process has ended.
    pub fn step(&mut self, batch: &TrainingBatch, step: u64, rate: f64) -> Result<Played> {
        let TrainingBatch { images, labels, places, of } = batch;
        if self.processes.any(images.is_empty())? {
            return Ok(Played::default());
        }
        let bytes = Batch::of(images)?.tensor()?;
        let (device, count) = (self.device(), images.len() as i64);
        let mut learn = || {
            // Drawn for the images of all processes, so that it does not matter how many share them.
            let mut stream = random::latent_batch_stream(self.seed, step);
            let latents = of_step(self.latent, *of, device, &mut stream)?;
            let shares: Vec<f32> = (0..*of).map(|_| stream.random()).collect();
            let shares = device::send(&Tensor::f_from_slice(&shares)?, device)?;
            let own = |all: &Tensor| all.f_narrow(0, places.start as i64, count);
            let labels = device::send(&Tensor::f_from_slice(labels)?, device)?;
            let values = self.pixels.values(&bytes)?;
            self.play(&values, &labels, &own(&latents)?, &own(&shares)?, step, rate)
        };
        learn().map_err(|error| device::explain(error, images.len(), device))
    }

    /// Trains on real images, (images, channels, height, width), of these classes, (images), and on those that the generator
    /// makes of as many latent vectors, (images, size, 1, 1). `shares`, (images), say where a gradient penalty is taken: from 0,
    /// at the made image, to 1, at the real one.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory, or another process has ended.
    pub fn play(
        &mut self,
        real: &Tensor,
        labels: &Tensor,
        latents: &Tensor,
        shares: &Tensor,
        step: u64,
        rate: f64,
    ) -> Result<Played, TchError> {
        // Dropout draws from libtorch's generator.
        tch::manual_seed(random::dropout_seed(self.seed, step, self.processes.rank()));
        let own = real.size()[0] as f64;
        let [images] = self.processes.totals([own])?;
        let part = Part { processes: &self.processes, share: own / images };
        let is_generators_turn = (step + 1).is_multiple_of(self.discriminator_steps);
        let latents = with_classes(latents, labels, self.classes)?;
        let make =
            || -> Result<Tensor, TchError> { Ok(self.generator.network.forward(&latents, Mode::Training)?.values) };
        let made = if is_generators_turn { make()? } else { no_grad(make)? };

        let seen = made.f_detach()?;
        let (of_real, of_made) = (self.judge(real, labels)?, self.judge(&seen, labels)?);
        let mut loss = losses::of_discriminator(self.loss, &of_real, &of_made, self.label_smoothing)?;
        if let AdversarialLoss::Wasserstein { gradient_penalty } = self.loss {
            let judge = |images: &Tensor| self.judge(images, labels);
            let penalty = losses::gradient_penalty(judge, real, &seen, &shares.f_view([-1, 1, 1, 1])?)?;
            loss = loss.f_add(&penalty.f_multiply_scalar(gradient_penalty)?)?;
        }
        let discriminator_loss = self.discriminator.update(&loss, rate, part)?;

        let generator_loss = if is_generators_turn {
            let loss = losses::of_generator(self.loss, &self.judge(&made, labels)?)?;
            Some(self.generator.update(&loss, rate, part)?)
        } else {
            None
        };
        for player in [&self.generator, &self.discriminator] {
            part.share_statistics(&player.statistics)?;
        }
        let opinions = [losses::opinion(self.loss, &of_real)?, losses::opinion(self.loss, &of_made)?];
        let [real, made] = self.processes.totals(opinions.map(|opinion| part.share * opinion))?;
        Ok(Played { images: images as u64, discriminator_loss, generator_loss, real, made })
    }

    fn judge(&self, images: &Tensor, labels: &Tensor) -> Result<Tensor, TchError> {
        let images = with_classes(images, labels, self.classes)?;
        Ok(self.discriminator.network.forward(&images, Mode::Training)?.values)
    }
}

impl Player {
    fn new(mut network: Network, shared: &Training) -> Result<Self> {
        precision::check(shared, network.nodes(), network.device())?;
        network.train_in(precision::of(shared, network.device()));
        Ok(Player {
            optimizer: Optimizer::new(shared, &network)?,
            weights: network.trainable().map(|(_, weight)| weight.shallow_clone()).collect(),
            statistics: network.statistics().map(Tensor::shallow_clone).collect(),
            network,
        })
    }

    /// Moves the weights against the gradient of the mean loss over the images of all processes, which it returns; `loss` is
    /// that over this one's.
    fn update(&mut self, loss: &Tensor, rate: f64, part: Part) -> Result<f64, TchError> {
        let Part { processes, share } = part;
        let [value] = processes.totals([share * loss.f_double_value(&[])?])?;
        if value.is_finite() {
            let own = if share == 1.0 { loss.shallow_clone() } else { loss.f_multiply_scalar(share)? };
            let gradients = match Tensor::f_run_backward(&[&own], &self.weights, false, false) {
                Err(error) if self.network.normalises_over_several() => return Err(processes.explain(error)),
                gradients => in_order(gradients?, &self.weights)?,
            };
            no_grad(|| processes.sum(&gradients.iter().collect::<Vec<_>>()))?;
            self.optimizer.step(&self.weights, gradients, rate)?;
        }
        Ok(value)
    }

    /// What a resumed run needs besides the weights: tensors by name.
    pub fn state(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.optimizer.state()
    }
}

/// This process's part of a step.
#[derive(Clone, Copy)]
struct Part<'a> {
    processes: &'a Processes,
    /// Its share of the images, from 0 to 1.
    share: f64,
}

impl Part<'_> {
    /// Makes running statistics, in place, their mean over all processes, each by its share of the images. They are linear in
    /// what each batch adds, so it does not matter how many batches there were since the last time.
    fn share_statistics(self, statistics: &[Tensor]) -> Result<(), TchError> {
        if !self.processes.are_several() || statistics.is_empty() {
            return Ok(());
        }
        no_grad(|| {
            for statistic in statistics {
                let _ = statistic.shallow_clone().f_multiply_scalar_(self.share)?;
            }
            self.processes.sum(&statistics.iter().collect::<Vec<_>>())
        })
    }
}
