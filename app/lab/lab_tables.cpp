#include "app/lab/lab_tables.h"

#include "app/lab/gradients.h"

namespace uvic::app {
namespace {

NumberCell cell(const Moments& moments, int64_t i) {
  NumberCell out;
  if (moments.count(i) == 0) return out;
  out.value = moments.mean(i);
  if (moments.count(i) > 1) out.error = moments.error(i);
  return out;
}

NumberCell word(const std::string& text) {
  NumberCell out;
  out.text = text;
  return out;
}

/// Subject and time, with which every row begins.
std::vector<NumberCell> beginning(const LabSubject& subject,
                                  const std::vector<LabSubject>& subjects,
                                  size_t time) {
  return {word(subject_title(subject, subjects)), word(subject.result.places.label(time))};
}

std::string place_heading(const std::vector<LabSubject>& subjects) {
  return !subjects.empty() && subjects.front().result.places.are_ranges() ? "positions"
                                                                          : "timestep";
}

}  // namespace

NumberTable head_table(const std::vector<LabSubject>& subjects) {
  NumberTable table;
  table.header = {"network", place_heading(subjects), "block", "kind", "head"};
  for (const auto& statistic : model::head_statistics()) table.header.emplace_back(statistic.name);
  for (const auto& statistic : model::circuit_statistics())
    table.header.emplace_back(statistic.name);
  for (const auto& subject : subjects) {
    const auto& result = subject.result;
    auto heads = subject.heads;
    heads.push_back(result.heads);
    for (size_t t = 0; t < result.places.size(); ++t)
      for (const auto b : subject.blocks)
        for (const auto h : heads) {
          auto row = beginning(subject, subjects, t);
          row.push_back(word(std::to_string(b)));
          row.push_back(word(result.kinds[static_cast<size_t>(b)]));
          row.push_back(word(h == result.heads ? "mean" : std::to_string(h)));
          for (size_t s = 0; s < model::head_statistics().size(); ++s)
            row.push_back(cell(result.head[t], result.head_index(b, h, static_cast<int64_t>(s))));
          for (int64_t s = 0; h < result.heads && s < result.circuits.size(2); ++s) {
            NumberCell circuit;
            circuit.value = result.circuits[b][h][s].item<double>();
            row.push_back(circuit);
          }
          table.rows.push_back(std::move(row));
        }
  }
  return table;
}

NumberTable block_table(const std::vector<LabSubject>& subjects) {
  NumberTable table;
  table.header = {"network", place_heading(subjects), "block", "kind"};
  for (const auto& statistic : model::block_statistics()) table.header.emplace_back(statistic.name);
  const bool has_gradients = !subjects.empty() && !subjects.front().result.gradient.empty();
  const size_t gradients = has_gradients ? gradient_statistics().size() : 0;
  for (size_t s = 0; s < gradients; ++s) table.header.emplace_back(gradient_statistics()[s].name);
  for (const auto& subject : subjects) {
    const auto& result = subject.result;
    for (size_t t = 0; t < result.places.size(); ++t)
      for (const auto b : subject.blocks) {
        auto row = beginning(subject, subjects, t);
        row.push_back(word(std::to_string(b)));
        row.push_back(word(result.kinds[static_cast<size_t>(b)]));
        for (size_t s = 0; s < model::block_statistics().size(); ++s)
          row.push_back(cell(result.block[t], result.block_index(b, static_cast<int64_t>(s))));
        for (size_t s = 0; s < gradients; ++s)
          row.push_back(
              cell(result.gradient[t], result.gradient_index(b, static_cast<int64_t>(s))));
        table.rows.push_back(std::move(row));
      }
  }
  return table;
}

NumberTable ablation_table(const std::vector<LabSubject>& subjects) {
  NumberTable table;
  table.header = {
      "network", place_heading(subjects), "ablation", "block", "head", "change of the loss"};
  for (const auto& subject : subjects)
    for (const auto& one : subject.ablations)
      for (int64_t t = 0; t < one.change.size(); ++t) {
        auto row = beginning(subject, subjects, static_cast<size_t>(t));
        row.push_back(word(one.ablation));
        row.push_back(word(one.block < 0 ? "all" : std::to_string(one.block)));
        row.push_back(word(one.head < 0 ? "all" : std::to_string(one.head)));
        row.push_back(cell(one.change, t));
        table.rows.push_back(std::move(row));
      }
  return table;
}

}  // namespace uvic::app
