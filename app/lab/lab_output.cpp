#include "app/lab/lab_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "app/lab/gradients.h"
#include "app/report/significance.h"
#include "base/process.h"
#include "base/text_format.h"

namespace uvic::app {
namespace {

using model::AttentionStatistic;
using nlohmann::json;

json number(double value) { return std::isfinite(value) ? json(value) : json(); }

json described(const std::vector<AttentionStatistic>& statistics) {
  json list = json::array();
  for (const auto& [name, title, formula, source] : statistics)
    list.push_back({{"name", name}, {"title", title}, {"formula", formula}, {"source", source}});
  return list;
}

/// {"mean": nested, "error": nested}, with `value(moments, index)` at each place.
template <class Nested>
json mean_and_error(const Nested& nested) {
  return {{"mean", nested([](const Moments& m, int64_t i) { return number(m.mean(i)); })},
          {"error", nested([](const Moments& m, int64_t i) { return number(m.error(i)); })}};
}

using Read = std::function<json(const Moments&, int64_t)>;

/// [time][block][head], or with head < 0 the mean over heads, [time][block].
json of_heads(const LabSubject& subject, int64_t statistic, bool mean_of_heads, const Read& read) {
  const auto& result = subject.result;
  json times = json::array();
  for (const auto& moments : result.head) {
    json blocks = json::array();
    for (const auto b : subject.blocks) {
      const auto at = [&](int64_t h) { return read(moments, result.head_index(b, h, statistic)); };
      if (mean_of_heads) {
        blocks.push_back(at(result.heads));
        continue;
      }
      json heads = json::array();
      for (const auto h : subject.heads) heads.push_back(at(h));
      blocks.push_back(std::move(heads));
    }
    times.push_back(std::move(blocks));
  }
  return times;
}

json of_blocks(const LabSubject& subject, int64_t statistic, const Read& read) {
  json times = json::array();
  for (const auto& moments : subject.result.block) {
    json blocks = json::array();
    for (const auto b : subject.blocks)
      blocks.push_back(read(moments, subject.result.block_index(b, statistic)));
    times.push_back(std::move(blocks));
  }
  return times;
}

json of_gradients(const LabSubject& subject, int64_t statistic, const Read& read) {
  const auto& result = subject.result;
  json times = json::array();
  for (size_t t = 0; t < result.places.size(); ++t) {
    json blocks = json::array();
    for (const auto b : subject.blocks)
      blocks.push_back(result.gradient.empty()
                           ? json()
                           : read(result.gradient[t], result.gradient_index(b, statistic)));
    times.push_back(std::move(blocks));
  }
  return times;
}

json circuits_of(const LabSubject& subject, int64_t statistic) {
  json blocks = json::array();
  for (const auto b : subject.blocks) {
    json heads = json::array();
    for (const auto h : subject.heads)
      heads.push_back(number(subject.result.circuits[b][h][statistic].item<double>()));
    blocks.push_back(std::move(heads));
  }
  return blocks;
}

json scores_of(const LabSubject& subject) {
  json times = json::array();
  for (const auto& counts : subject.result.scores) {
    json blocks = json::array();
    for (const auto b : subject.blocks) {
      json heads = json::array();
      for (const auto h : subject.heads) {
        const auto row = counts[b][h].contiguous();
        const auto* data = row.data_ptr<int64_t>();
        heads.push_back(std::vector<int64_t>(data, data + row.numel()));
      }
      blocks.push_back(std::move(heads));
    }
    times.push_back(std::move(blocks));
  }
  return {{"limit", kScoreLimit}, {"counts", times}};
}

json ablations_of(const LabSubject& subject) {
  json list = json::array();
  for (const auto& one : subject.ablations) {
    json means = json::array(), errors = json::array();
    for (int64_t t = 0; t < one.change.size(); ++t) {
      means.push_back(number(one.change.mean(t)));
      errors.push_back(number(one.change.error(t)));
    }
    list.push_back({{"ablation", one.ablation},
                    {"block", one.block},
                    {"head", one.head},
                    {"mean", means},
                    {"error", errors}});
  }
  return list;
}

json layout_json(const LabResult& result) {
  const auto& layout = result.layout;
  return {{"tokens", result.tokens},
          {"sequence", layout.is_sequence},
          {"label", layout.label},
          {"time", layout.time},
          {"context", layout.context},
          {"contexts", layout.contexts},
          {"patches", layout.patches},
          {"side", layout.side}};
}

json subject_json(const LabSubject& subject, const std::string& title) {
  const auto& result = subject.result;
  json kinds = json::array(), is_signed = json::array();
  for (const auto b : subject.blocks) {
    kinds.push_back(result.kinds[static_cast<size_t>(b)]);
    is_signed.push_back(static_cast<bool>(result.is_signed[static_cast<size_t>(b)]));
  }
  json out = {{"name", subject.name},
              {"title", title},
              {"weights", subject.weights},
              {"weights_sha256", subject.weights_sha256},
              {"images_seen", subject.images_seen},
              {"blocks", subject.blocks},
              {"heads", subject.heads},
              {"kinds", kinds},
              {"signed", is_signed},
              {"layout", layout_json(result)},
              {"seconds", result.seconds},
              {"seconds_without_probe", result.plain_seconds},
              {"scores", scores_of(subject)},
              {"ablation", ablations_of(subject)}};
  const auto& heads = model::head_statistics();
  for (size_t i = 0; i < heads.size(); ++i)
    for (const bool mean : {false, true})
      out[mean ? "head_mean" : "head"][heads[i].name] = mean_and_error(
          [&](const Read& read) { return of_heads(subject, static_cast<int64_t>(i), mean, read); });
  const auto& blocks = model::block_statistics();
  for (size_t i = 0; i < blocks.size(); ++i)
    out["block"][blocks[i].name] = mean_and_error(
        [&](const Read& read) { return of_blocks(subject, static_cast<int64_t>(i), read); });
  const auto& gradients = gradient_statistics();
  for (size_t i = 0; i < gradients.size(); ++i)
    out["gradient"][gradients[i].name] = mean_and_error(
        [&](const Read& read) { return of_gradients(subject, static_cast<int64_t>(i), read); });
  const auto& circuits = model::circuit_statistics();
  for (size_t i = 0; i < circuits.size(); ++i)
    out["circuit"][circuits[i].name] = circuits_of(subject, static_cast<int64_t>(i));
  out["loss"] = mean_and_error([&](const Read& read) {
    json times = json::array();
    for (int64_t t = 0; t < result.loss.size(); ++t) times.push_back(read(result.loss, t));
    return times;
  });
  return out;
}

/// b - a of two streamed means, by Welch's test.
struct Compared {
  double difference = 0, error = 0, p = 1;
};
Compared compared(const Moments& a, int64_t i, const Moments& b, int64_t j) {
  Compared out;
  out.difference = b.mean(j) - a.mean(i);
  const double va = a.error(i) * a.error(i), vb = b.error(j) * b.error(j);
  out.error = std::sqrt(va + vb);
  if (!(out.error > 0)) {
    out.p = std::isnan(out.error) ? out.error : (out.difference == 0 ? 1 : 0);
    return out;
  }
  const double freedom = (va + vb) * (va + vb) /
                         (va * va / static_cast<double>(a.count(i) - 1) +
                          vb * vb / static_cast<double>(b.count(j) - 1));
  out.p = student_two_sided(out.difference / out.error, std::max(1.0, freedom));
  return out;
}

/// The comparison of one statistic in all blocks and at all times; index(block) in both.
json difference_json(const LabSubject& a,
                     const LabSubject& b,
                     const char* name,
                     const std::vector<Moments> LabResult::*moments,
                     const std::function<int64_t(const LabResult&, int64_t)>& index) {
  std::vector<Compared> all;
  const auto &of_a = a.result.*moments, &of_b = b.result.*moments;
  for (size_t t = 0; t < of_a.size(); ++t)
    for (const auto block : a.blocks)
      all.push_back(compared(of_a[t], index(a.result, block), of_b[t], index(b.result, block)));
  std::vector<double> p;
  for (const auto& one : all)
    if (!std::isnan(one.p)) p.push_back(one.p);
  const auto adjusted = holm_adjusted(p);
  json values = json::array(), errors = json::array(), ps = json::array();
  size_t next = 0;
  for (const auto& one : all) {
    values.push_back(number(one.difference));
    errors.push_back(number(one.error));
    ps.push_back(std::isnan(one.p) ? json() : json(adjusted[next++]));
  }
  return {{"statistic", name}, {"difference", values}, {"error", errors}, {"p", ps}};
}

json differences_json(const std::vector<LabSubject>& subjects) {
  json list = json::array();
  for (size_t i = 1; i < subjects.size(); ++i) {
    const auto &a = subjects[0], &b = subjects[i];
    if (a.result.blocks != b.result.blocks) continue;
    json tests = json::array();
    const auto& heads = model::head_statistics();
    for (size_t s = 0; s < heads.size(); ++s)
      tests.push_back(difference_json(
          a, b, heads[s].name, &LabResult::head, [s](const LabResult& r, int64_t block) {
            return r.head_index(block, r.heads, static_cast<int64_t>(s));
          }));
    const auto& blocks = model::block_statistics();
    for (size_t s = 0; s < blocks.size(); ++s)
      tests.push_back(difference_json(
          a, b, blocks[s].name, &LabResult::block, [s](const LabResult& r, int64_t block) {
            return r.block_index(block, static_cast<int64_t>(s));
          }));
    const auto& gradients = gradient_statistics();
    for (size_t s = 0; !a.result.gradient.empty() && s < gradients.size(); ++s)
      tests.push_back(difference_json(
          a, b, gradients[s].name, &LabResult::gradient, [s](const LabResult& r, int64_t block) {
            return r.gradient_index(block, static_cast<int64_t>(s));
          }));
    list.push_back({{"of", i}, {"against", 0}, {"order", "[time][block], flat"}, {"tests", tests}});
  }
  return list;
}

}  // namespace

const char* examples_word(const LabPlaces& places) {
  return places.are_ranges() ? "sequences" : "images";
}

std::string subject_title(const LabSubject& subject, const std::vector<LabSubject>& subjects) {
  const auto same = std::count_if(subjects.begin(), subjects.end(), [&](const auto& other) {
    return other.name == subject.name;
  });
  if (same < 2) return subject.name;
  return fmt::format("{}, {} {}",
                     subject.name,
                     base::si_number(static_cast<double>(subject.images_seen)),
                     examples_word(subject.result.places));
}

json lab_json(const LabRecord& record, const std::vector<LabSubject>& subjects) {
  const auto& places = subjects.at(0).result.places;
  json positions = json::array();
  for (const auto& range : places.ranges)
    positions.push_back({{"first", range.begin}, {"last", range.end - 1}});
  json out;
  out["settings"] = {{"data", record.data},
                     {"describe", record.describe},
                     {"fingerprint", record.fingerprint},
                     {"seed", record.seed},
                     {"images", record.images},
                     {"ablation_images", record.ablation_images},
                     {"gradient_images", record.gradient_images},
                     {"examples", examples_word(places)},
                     {"timesteps", places.times},
                     {"positions", positions},
                     {"precision", record.precision},
                     {"device", record.device},
                     {"version", UVIC_VERSION},
                     {"created", base::utc_now()},
                     {"command", base::command_line()}};
  out["statistics"] = {{"head", described(model::head_statistics())},
                       {"block", described(model::block_statistics())},
                       {"gradient", described(gradient_statistics())},
                       {"circuit", described(model::circuit_statistics())}};
  out["ablations"] = json::array();
  for (const auto& ablation : ablations())
    out["ablations"].push_back({{"name", ablation.name}, {"help", ablation.help}});
  out["subjects"] = json::array();
  for (const auto& subject : subjects)
    out["subjects"].push_back(subject_json(subject, subject_title(subject, subjects)));
  out["differences"] = differences_json(subjects);
  return out;
}

std::string lab_summary(const json& numbers) {
  std::string text;
  for (const auto& subject : numbers["subjects"]) {
    const auto mean = [&](const char* part, const char* name) {
      double sum = 0;
      int64_t count = 0;
      for (const auto& blocks : subject[part][name]["mean"])
        for (const auto& value : blocks)
          if (value.is_number()) sum += value.get<double>(), ++count;
      return count ? base::significant(sum / static_cast<double>(count)) : std::string("-");
    };
    text += fmt::format(
        "{}: negative mass {}, effective keys {}, largest sink {}, rows that copy and delete {}, "
        "cosine between tokens {}\n",
        subject["title"].get<std::string>(),
        mean("head_mean", "negative_mass"),
        mean("head_mean", "effective_keys"),
        mean("head_mean", "largest_sink"),
        mean("head_mean", "both_rows"),
        mean("block", "token_cosine"));
  }
  return text;
}

}  // namespace uvic::app
