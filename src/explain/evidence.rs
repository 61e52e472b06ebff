//! The evidence for a class in each place of an input.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use tch::{Kind, Tensor, no_grad};

use super::head::Head;
use super::layers::{find_map, stages};
use super::occlusion::occlusion;
use crate::network::Network;

/// How evidence is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Class activation mapping (Zhou et al., arXiv:1512.04150): what each place of the last map adds to the class's logit,
    /// but for the bias and a factor.
    ClassActivation,
    /// Grad-CAM (Selvaraju et al., arXiv:1610.02391): the channels of a map weighed by the mean gradient of the class's
    /// logit, what speaks against it cut off.
    GradCam,
    /// How far the class's probability falls when a place is covered (Zeiler and Fergus, arXiv:1311.2901, section 4.2).
    Occlusion,
}

/// A way to find evidence in a network's inputs.
#[derive(Debug)]
pub struct Evidence<'a> {
    network: &'a Network,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Head(Head),
    Layer(String),
    Occlusion,
}

impl<'a> Evidence<'a> {
    /// Evidence by a method, or where none is named by class activation if the network's end allows it, otherwise by
    /// Grad-CAM. `layer` is that of Grad-CAM, by default the last that computes a map.
    ///
    /// # Errors
    /// Returns an error if the network has no such layer, or does not end as the method needs.
    pub fn new(network: &'a Network, method: Option<Method>, layer: Option<&str>) -> Result<Self> {
        let head = Head::of(network.nodes());
        let method = method.unwrap_or(match (&head, layer) {
            (Some(_), None) => Method::ClassActivation,
            _ => Method::GradCam,
        });
        ensure!(
            layer.is_none() || method == Method::GradCam,
            "only Grad-CAM looks at a chosen layer; leave the layer out, or choose grad-cam"
        );
        let source = match method {
            Method::ClassActivation => Source::Head(head.context(
                "class activation maps need a network that ends in a global average pool and one linear layer; choose grad-cam",
            )?),
            Method::GradCam => Source::Layer(match layer {
                Some(name) => find_map(network.nodes(), name)?.name.clone(),
                None => match stages(network.nodes()).last() {
                    Some(node) => node.name.clone(),
                    None => bail!("no layer of the network outputs a map larger than 1x1; choose occlusion"),
                },
            }),
            Method::Occlusion => Source::Occlusion,
        };
        Ok(Evidence { network, source })
    }

    /// The evidence for each of the classes in a batch, (images, channels, height, width): for each class (images, rows,
    /// columns) on the CPU, evenly spread over the input.
    ///
    /// # Errors
    /// Returns an error if the device is out of memory.
    pub fn maps(&self, input: &Tensor, classes: &[usize]) -> Result<Vec<Tensor>> {
        let maps = match &self.source {
            Source::Head(head) => no_grad(|| self.class_activation(head, input, classes))?,
            Source::Layer(layer) => self.grad_cam(layer, input, classes)?,
            Source::Occlusion => no_grad(|| occlusion(self.network, input, classes))?,
        };
        maps.into_iter().map(|map| Ok(map.f_to_device(tch::Device::Cpu)?)).collect()
    }

    fn class_activation(&self, head: &Head, input: &Tensor, classes: &[usize]) -> Result<Vec<Tensor>> {
        let (_, taps) = self.network.forward_tapped(input, &[&head.layer])?;
        let features = &taps[0];
        let weight = head.linear.as_ref().map(|linear| self.network.tensor(&format!("{linear}.weight"))).transpose()?;
        let map = |&class: &usize| {
            let Some(weight) = weight else { return Ok(features.f_select(1, class as i64)?) };
            let row = weight.f_select(0, class as i64)?.f_view([1, -1, 1, 1])?;
            Ok(features.f_mul(&row)?.f_sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)?)
        };
        classes.iter().map(map).collect()
    }

    fn grad_cam(&self, layer: &str, input: &Tensor, classes: &[usize]) -> Result<Vec<Tensor>> {
        let input = input.f_detach()?.f_set_requires_grad(true)?;
        let (logits, taps) = self.network.forward_tapped(&input, &[layer])?;
        let features = &taps[0];
        let last = classes.len().saturating_sub(1);
        let map = |(place, &class): (usize, &usize)| {
            let logit = logits.f_select(1, class as i64)?.f_sum(Kind::Float)?;
            let gradients = Tensor::f_run_backward(&[logit], &[features], place < last, false)?;
            no_grad(|| {
                let weights = gradients[0].f_mean_dim([2i64, 3].as_slice(), true, None::<Kind>)?;
                let sum = features.f_mul(&weights)?.f_sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)?;
                Ok(sum.f_relu()?.f_detach()?)
            })
        };
        classes.iter().enumerate().map(map).collect()
    }
}

impl fmt::Display for Evidence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.source {
            Source::Head(head) => write!(f, "class activation maps of {}", head.layer),
            Source::Layer(layer) => write!(f, "Grad-CAM of {layer}"),
            Source::Occlusion => f.write_str("occlusion"),
        }
    }
}
