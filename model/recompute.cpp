#include "model/recompute.h"

#include <algorithm>

namespace uvic::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using TensorFunction = std::function<torch::Tensor(const std::vector<torch::Tensor>&)>;

/// Stores the function in the autograd graph, whose saved values are IValues.
struct FunctionHolder : torch::CustomClassHolder {
  TensorFunction fn;
  std::vector<bool> given;  ///< which inputs are defined; autograd accepts only those

  /// fn(inputs). The defined inputs are the first elements of `tensors`.
  torch::Tensor operator()(at::TensorList tensors) const {
    std::vector<torch::Tensor> inputs(given.size());
    for (size_t i = 0, next = 0; i < given.size(); ++i)
      if (given[i]) inputs[i] = tensors[next++];
    return fn(inputs);
  }
};

struct Recompute : torch::autograd::Function<Recompute> {
  /// `tensors`: the defined inputs, then the parameters.
  static torch::Tensor forward(AutogradContext* ctx,
                               const c10::intrusive_ptr<FunctionHolder>& holder,
                               at::TensorList tensors) {
    ctx->save_for_backward(tensors.vec());
    ctx->saved_data["fn"] = c10::IValue::make_capsule(holder);
    return (*holder)(tensors);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grad_outputs) {
    const auto holder =
        c10::static_intrusive_pointer_cast<FunctionHolder>(ctx->saved_data["fn"].toCapsule());
    variable_list tensors = ctx->get_saved_variables();
    const auto inputs = std::count(holder->given.begin(), holder->given.end(), true);
    for (auto t = tensors.begin(); t != tensors.begin() + inputs; ++t)
      *t = t->detach().set_requires_grad(t->requires_grad());

    torch::AutoGradMode with_grad(true);
    const auto out = (*holder)(tensors);
    variable_list wanted;
    for (const auto& t : tensors)
      if (t.requires_grad()) wanted.push_back(t);
    const auto grads = torch::autograd::grad({out},
                                             wanted,
                                             grad_outputs,
                                             /*retain_graph=*/{},
                                             /*create_graph=*/false,
                                             /*allow_unused=*/true);

    variable_list result(1);  // no gradient for the function
    size_t next = 0;
    for (const auto& t : tensors)
      result.push_back(t.requires_grad() ? grads[next++] : torch::Tensor());
    return result;
  }
};

}  // namespace

torch::Tensor recompute_in_backward(const TensorFunction& fn,
                                    const std::vector<torch::Tensor>& inputs,
                                    const std::vector<torch::Tensor>& parameters) {
  if (!torch::GradMode::is_enabled()) return fn(inputs);
  auto holder = c10::make_intrusive<FunctionHolder>();
  holder->fn = fn;
  variable_list tensors;
  for (const auto& input : inputs) {
    holder->given.push_back(input.defined());
    if (input.defined()) tensors.push_back(input);
  }
  tensors.insert(tensors.end(), parameters.begin(), parameters.end());
  return Recompute::apply(holder,
                          at::TensorList(tensors));  // autograd finds no tensors in a std::vector
}

}  // namespace uvic::model
