#include "app/runs/network_choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <string_view>

#include "base/tensor_text.h"
#include "base/torch.h"

namespace uvic::app {
namespace {

using Networks = std::map<std::string, model::NamedTensors>;  // by prefix

/// The words of a prefix: "state_dict.model_ema." -> state, dict, model, ema.
std::vector<std::string> words_of(const std::string& prefix) {
  std::vector<std::string> words(1);
  for (const char c : prefix) {
    if (c == '.' || c == '_')
      words.emplace_back();
    else
      words.back() += c;
  }
  words.erase(std::remove(words.begin(), words.end(), std::string()), words.end());
  return words;
}

bool is_average(const std::string& prefix) {
  for (const auto& word : words_of(prefix))
    for (const auto* mark : {"ema", "average", "averaged", "avg", "shadow", "swa"})
      if (word == mark) return true;
  return false;
}

/// Names without the parts that wrappers put inside; as they were where two would become one.
std::string unwrapped_name(std::string name) {
  for (const std::string part :
       {"_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."})
    for (auto at = name.find(part); at != std::string::npos; at = name.find(part, at))
      if (at == 0 || name[at - 1] == '.')
        name.erase(at, part.size());
      else
        at += part.size();
  return name;
}

void unwrap(model::NamedTensors& tensors, std::vector<std::string>& order) {
  model::NamedTensors plain;
  for (const auto& [name, tensor] : tensors) plain.emplace(unwrapped_name(name), tensor);
  if (plain.size() != tensors.size()) return;
  tensors = std::move(plain);
  for (auto& name : order) name = unwrapped_name(name);
}

/// Everything that precedes a network's names, as "" or "ema.".
std::set<std::string> prefixes_of(const model::NamedTensors& tensors) {
  std::set<std::string> prefixes;
  const auto marks = model::network_marks();
  for (const auto& [name, tensor] : tensors)
    for (const std::string_view mark : marks) {
      if (name.size() < mark.size()) continue;
      const auto at = name.size() - mark.size();
      if (std::string_view(name).substr(at) == mark && (at == 0 || name[at - 1] == '.'))
        prefixes.insert(name.substr(0, at));
    }
  return prefixes;
}

std::string without_dots(std::string name) {
  name.erase(std::remove(name.begin(), name.end(), '.'), name.end());
  return name;
}

/// LitEma of the latent diffusion code: the average of PREFIX.NAME is model_ema.PREFIXNAME, without
/// dots, where PREFIX may have lost leading parts.
void add_dotless(const model::NamedTensors& tensors, Networks& networks) {
  const std::string mark = "model_ema.";
  std::set<std::string> holders;
  for (const auto& [name, tensor] : tensors)
    if (const auto at = name.find(mark);
        at != std::string::npos && name.find('.', at + mark.size()) == std::string::npos)
      holders.insert(name.substr(0, at + mark.size()));
  const Networks named = networks;
  for (const auto& holder : holders)
    for (const auto& [prefix, network] : named)
      for (size_t cut = 0; cut != std::string::npos && cut <= prefix.size();
           cut = prefix.find('.', cut) == std::string::npos ? std::string::npos
                                                            : prefix.find('.', cut) + 1) {
        model::NamedTensors average;
        for (const auto& [name, tensor] : network) {
          const auto found =
              tensors.find(fmt::format("{}{}", holder, without_dots(prefix.substr(cut) + name)));
          if (found == tensors.end() || found->second.sizes() != tensor.sizes()) break;
          average.emplace(name, found->second);
        }
        if (average.size() == network.size()) networks[holder] = std::move(average);
      }
}

/// X.shadow_params.0, 1, ...: the average of a network's parameters in their order.
void add_shadow_lists(const model::NamedTensors& tensors,
                      const std::vector<std::string>& order,
                      Networks& networks,
                      std::vector<std::string>& notes) {
  const std::string mark = "shadow_params.";
  std::set<std::string> lists;
  for (const auto& [name, tensor] : tensors)
    if (const auto at = name.find(mark); at != std::string::npos)
      if (at + mark.size() < name.size() &&
          name.find_first_not_of("0123456789", at + mark.size()) == std::string::npos)
        lists.insert(name.substr(0, at + mark.size()));
  const Networks named = networks;
  for (const auto& list : lists) {
    bool fits = false;
    for (const auto& [prefix, network] : named) {
      model::NamedTensors average;
      int64_t number = 0;
      for (const auto& path : order) {
        if (path.rfind(prefix, 0) != 0 || !network.count(path.substr(prefix.size()))) continue;
        const auto name = path.substr(prefix.size());
        const auto found = tensors.find(fmt::format("{}{}", list, number++));
        if (found == tensors.end() || found->second.sizes() != network.at(name).sizes()) break;
        average.emplace(name, found->second);
      }
      const bool is_all = average.size() == network.size() &&
                          !tensors.count(fmt::format("{}{}", list, network.size()));
      if (!is_all || network.empty()) continue;
      networks[list] = std::move(average);
      fits = true;
      notes.push_back(fmt::format("\"{}\" is a list; its names are those of \"{}\", in order",
                                  base::printable_text(list),
                                  base::printable_text(prefix)));
      break;
    }
    if (!fits)
      notes.push_back(fmt::format(
          "\"{}\" is a list of tensors that fits no network of the file; it is left out",
          base::printable_text(list)));
  }
}

/// Older programs saved the frequencies of RoPE, which follow from the config.
void drop_frequencies(model::NamedTensors& tensors) {
  const std::string ending = ".rotary_emb.inv_freq";
  for (auto item = tensors.begin(); item != tensors.end();) {
    const auto& name = item->first;
    const bool drop = name.size() > ending.size() &&
                      name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
    item = drop ? tensors.erase(item) : std::next(item);
  }
}

std::string list_text(const Networks& networks) {
  std::vector<std::string> quoted;
  for (const auto& [prefix, network] : networks)
    quoted.push_back(fmt::format("\"{}\"", base::printable_text(prefix)));
  return fmt::format("{}", fmt::join(quoted, ", "));
}

/// The averages among the prefixes. Of wrappers inside wrappers ("ema.online_model.",
/// "ema.ema_model.") those whose last part says so.
std::vector<std::string> averages_of(const Networks& networks) {
  std::vector<std::string> averages, by_last_part;
  for (const auto& [prefix, network] : networks) {
    if (!is_average(prefix)) continue;
    averages.push_back(prefix);
    auto part = prefix.substr(0, prefix.size() - 1);
    if (const std::string module = ".module";
        part.size() > module.size() && part.substr(part.size() - module.size()) == module)
      part.resize(part.size() - module.size());
    if (is_average(part.substr(part.rfind('.') + 1))) by_last_part.push_back(prefix);
  }
  return averages.size() > 1 && by_last_part.size() == 1 ? by_last_part : averages;
}

std::string chosen_prefix(const Networks& networks,
                          const std::string& wanted,
                          const std::string& source,
                          std::vector<std::string>& notes) {
  if (!wanted.empty()) {
    const auto dotted = wanted.back() == '.' ? wanted : wanted + ".";
    if (networks.count(dotted)) return dotted;
    throw std::invalid_argument(fmt::format("{}: no network under {}; it holds {}",
                                            source,
                                            wanted,
                                            networks.empty() ? "none" : list_text(networks)));
  }
  if (networks.size() <= 1) return networks.empty() ? "" : networks.begin()->first;
  const auto averages = averages_of(networks);
  if (averages.size() != 1)
    throw std::runtime_error(fmt::format(
        "{}: holds several networks, {}; \"uvic convert --prefix NAME\" takes one of them out",
        source,
        list_text(networks)));
  notes.push_back(fmt::format("of the networks under {}, the average \"{}\" is taken",
                              list_text(networks),
                              base::printable_text(averages.front())));
  return averages.front();
}

}  // namespace

model::NamedTensors tensors_under(const model::NamedTensors& tensors, const std::string& prefix) {
  model::NamedTensors result;
  for (const auto& [name, tensor] : tensors)
    if (name.rfind(prefix, 0) == 0) result.emplace(name.substr(prefix.size()), tensor);
  return result;
}

NetworkChoice choose_network(model::NamedTensors tensors,
                             const std::vector<std::string>& file_order,
                             const std::string& wanted,
                             const std::string& source) {
  auto order = file_order;
  unwrap(tensors, order);
  NetworkChoice choice;
  Networks networks;
  for (const auto& prefix : prefixes_of(tensors)) networks[prefix] = tensors_under(tensors, prefix);
  // What is under "module.ema." is no part of the network under "module.".
  for (auto& [outer, whole] : networks)
    for (const auto& [inner, part] : networks) {
      if (inner.size() <= outer.size() || inner.rfind(outer, 0) != 0) continue;
      for (const auto& [name, tensor] : part) whole.erase(inner.substr(outer.size()) + name);
    }
  add_dotless(tensors, networks);
  add_shadow_lists(tensors, order, networks, choice.notes);
  choice.prefix = chosen_prefix(networks, wanted, source, choice.notes);
  choice.is_network = !networks.empty();
  const auto all = tensors.size();
  choice.tensors = choice.is_network ? std::move(networks.at(choice.prefix)) : std::move(tensors);
  choice.left_out = static_cast<int64_t>(all - choice.tensors.size());
  if (choice.is_network) drop_frequencies(choice.tensors);
  return choice;
}

}  // namespace uvic::app
