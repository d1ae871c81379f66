#include "model/recompute.h"

namespace uvic::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using TensorFunction = std::function<torch::Tensor(const std::vector<torch::Tensor>&)>;

/// Carries the function through the autograd graph, whose saved values are IValues.
struct FunctionHolder : torch::CustomClassHolder {
  FunctionHolder(TensorFunction f, size_t n) : fn(std::move(f)), inputs(n) {}
  TensorFunction fn;
  size_t inputs;
};

struct Recompute : torch::autograd::Function<Recompute> {
  /// `tensors`: the inputs, then the parameters.
  static torch::Tensor forward(AutogradContext* ctx,
                               const c10::intrusive_ptr<FunctionHolder>& holder,
                               const variable_list& tensors) {
    ctx->save_for_backward(tensors);
    ctx->saved_data["fn"] = c10::IValue::make_capsule(holder);
    return holder->fn({tensors.begin(), tensors.begin() + holder->inputs});
  }

  static variable_list backward(AutogradContext* ctx, variable_list grad_outputs) {
    const auto holder =
        c10::static_intrusive_pointer_cast<FunctionHolder>(ctx->saved_data["fn"].toCapsule());
    variable_list tensors = ctx->get_saved_variables();
    for (size_t i = 0; i < holder->inputs; ++i)
      if (tensors[i].defined())
        tensors[i] = tensors[i].detach().set_requires_grad(tensors[i].requires_grad());

    torch::AutoGradMode with_grad(true);
    const auto out = holder->fn({tensors.begin(), tensors.begin() + holder->inputs});
    variable_list wanted;
    for (const auto& t : tensors)
      if (t.defined() && t.requires_grad()) wanted.push_back(t);
    const auto grads = torch::autograd::grad({out},
                                             wanted,
                                             grad_outputs,
                                             /*retain_graph=*/c10::nullopt,
                                             /*create_graph=*/false,
                                             /*allow_unused=*/true);

    variable_list result(1);  // nothing for the function itself
    size_t next = 0;
    for (const auto& t : tensors)
      result.push_back(t.defined() && t.requires_grad() ? grads[next++] : torch::Tensor());
    return result;
  }
};

}  // namespace

torch::Tensor recompute_in_backward(const TensorFunction& fn,
                                    const std::vector<torch::Tensor>& inputs,
                                    const std::vector<torch::Tensor>& parameters) {
  if (!torch::GradMode::is_enabled()) return fn(inputs);
  variable_list tensors = inputs;
  tensors.insert(tensors.end(), parameters.begin(), parameters.end());
  return Recompute::apply(c10::make_intrusive<FunctionHolder>(fn, inputs.size()), tensors);
}

}  // namespace uvic::model
