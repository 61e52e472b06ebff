//! A step: the discriminator learns to tell a batch of real images from as many made ones, and the generator to make images
//! that it takes for real. Goodfellow et al., arXiv:1406.2661, algorithm 1.

use anyhow::Result;
use image::RgbImage;
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
use crate::random;
use crate::training::optimizer::Optimizer;
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
    seed: u64,
}

/// A network with its optimiser.
#[derive(Debug)]
pub struct Player {
    /// The network.
    pub network: Network,
    optimizer: Optimizer,
    weights: Vec<Tensor>,
}

/// What came out of a step, before its updates: means over its images.
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
            seed: gan.training.seed,
        })
    }

    /// The device of both networks.
    pub fn device(&self) -> Device {
        self.generator.network.device()
    }

    /// Trains on images of the generator's size and their classes. If a loss is NaN or infinite, its network does not change.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn step(&mut self, images: &[RgbImage], labels: &[i64], step: u64, rate: f64) -> Result<Played> {
        if images.is_empty() {
            return Ok(Played::default());
        }
        let bytes = Batch::of(images)?.tensor()?;
        let device = self.device();
        let mut learn = || {
            let mut stream = random::latent_batch_stream(self.seed, step);
            let latents = of_step(self.latent, images.len(), device, &mut stream)?;
            let shares: Vec<f32> = images.iter().map(|_| stream.random()).collect();
            let shares = Tensor::f_from_slice(&shares)?;
            let labels = device::send(&Tensor::f_from_slice(labels)?, device)?;
            let values = self.pixels.values(&bytes)?;
            self.play(&values, &labels, &latents, &device::send(&shares, device)?, step, rate)
        };
        learn().map_err(|error| device::explain(error, images.len(), device))
    }

    /// Trains on real images, (images, channels, height, width), of these classes, (images), and on those that the generator
    /// makes of as many latent vectors. `shares`, (images), say where a gradient penalty is taken.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
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
        tch::manual_seed(random::dropout_seed(self.seed, step, 0));
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
        let discriminator_loss = self.discriminator.update(&loss, rate)?;

        let generator_loss = if is_generators_turn {
            let loss = losses::of_generator(self.loss, &self.judge(&made, labels)?)?;
            Some(self.generator.update(&loss, rate)?)
        } else {
            None
        };
        let [real_opinion, made_opinion] = [&of_real, &of_made].map(|output| losses::opinion(self.loss, output));
        Ok(Played {
            images: real.size()[0] as u64,
            discriminator_loss,
            generator_loss,
            real: real_opinion?,
            made: made_opinion?,
        })
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
            network,
        })
    }

    /// Moves the weights against the gradient of a loss, whose value it returns.
    fn update(&mut self, loss: &Tensor, rate: f64) -> Result<f64, TchError> {
        let value = loss.f_double_value(&[])?;
        if value.is_finite() {
            let gradients = Tensor::f_run_backward(&[loss], &self.weights, false, false)?;
            self.optimizer.step(&self.weights, gradients, rate)?;
        }
        Ok(value)
    }

    /// What a resumed run needs besides the weights: tensors by name.
    pub fn state(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.optimizer.state()
    }
}
