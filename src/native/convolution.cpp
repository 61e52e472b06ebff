// A convolution for training whose map and whose gradient of the map the caller computes; the gradients of weights and
// biases are libtorch's. A function returns null, or what went wrong as a string that the caller frees; no exception
// leaves this file.

#include <torch/csrc/autograd/custom_function.h>
#include <ATen/ATen.h>

// A new map from one and the weights, or null if it cannot be had. `backward`: the gradient of the input from that of the
// output. The bias may be null.
using Compute = at::Tensor* (*)(const at::Tensor* map, const at::Tensor* weight, const at::Tensor* bias,
                                const int64_t* padding, bool backward, void* algorithm);

namespace {
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor computed(int64_t compute, const at::Tensor& map, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                    const std::vector<int64_t>& padding, bool backward, int64_t algorithm) {
  std::unique_ptr<at::Tensor> result(reinterpret_cast<Compute>(compute)(
      &map, &weight, bias ? &*bias : nullptr, padding.data(), backward, reinterpret_cast<void*>(algorithm)));
  if (!result) throw std::runtime_error("a convolution failed: in practice, out of memory");
  // Not a view, since what follows may overwrite it.
  return result->variable_data();
}

struct Convolution : torch::autograd::Function<Convolution> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& map, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const std::vector<int64_t>& padding, int64_t compute,
                            int64_t algorithm) {
    context->save_for_backward({map, weight});
    context->saved_data["bias"] = bias.has_value();
    context->saved_data["padding"] = padding;
    context->saved_data["compute"] = compute;
    context->saved_data["algorithm"] = algorithm;
    return computed(compute, map, weight, bias, padding, false, algorithm);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    auto saved = context->get_saved_variables();
    auto padding = context->saved_data["padding"].toIntVector();
    auto compute = context->saved_data["compute"].toInt(), algorithm = context->saved_data["algorithm"].toInt();
    at::Tensor map;
    if (context->needs_input_grad(0)) map = computed(compute, gradients[0], saved[1], std::nullopt, padding, true, algorithm);
    bool bias = context->saved_data["bias"].toBool() && context->needs_input_grad(2);
    auto [none, weights, biases] = at::convolution_backward(
        gradients[0], saved[0], saved[1], at::OptionalIntArrayRef(saved[1].sizes().slice(0, 1)), {1, 1}, padding, {1, 1},
        false, {0, 0}, 1, {false, context->needs_input_grad(1), bias});
    return {map, weights, biases, {}, {}, {}};
  }
};
} // namespace

extern "C" char* topfive_convolution(at::Tensor* map, at::Tensor* weight, at::Tensor* bias, const int64_t* padding,
                                     Compute compute, void* algorithm, at::Tensor** output) {
  try {
    *output = new at::Tensor(Convolution::apply(*map, *weight, bias ? std::optional(*bias) : std::nullopt,
                                                std::vector<int64_t>{padding[0], padding[1]},
                                                reinterpret_cast<int64_t>(compute),
                                                reinterpret_cast<int64_t>(algorithm)));
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
}
