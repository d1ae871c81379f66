#include "app/commands/compare_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "app/commands/compare_sequences.h"
#include "app/options/assets.h"
#include "app/options/options.h"
#include "app/report/number_table.h"
#include "app/runs/data_facts.h"
#include "app/runs/latent_space.h"
#include "app/runs/read_options.h"
#include "app/runs/run_dir.h"
#include "app/runs/run_parts.h"
#include "app/runs/short_names.h"
#include "app/sampling/generate.h"
#include "app/sampling/seed_list.h"
#include "app/training/image_snapshots.h"
#include "base/check.h"
#include "data/formats/output_file.h"

namespace uvic::app {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMostColumns = 64;

std::vector<std::string> words_of(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

std::string safe_name(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.') c = '_';
  return name;
}

/// "optimizer.lr=1e-4" -> "lr=1e-4".
std::string short_column_name(const std::string& assignment) {
  const auto dot = assignment.substr(0, assignment.find('=')).rfind('.');
  return dot == std::string::npos ? assignment : assignment.substr(dot + 1);
}

std::string joined_names(const std::vector<std::string>& assignments) {
  std::string name;
  for (const auto& assignment : assignments)
    name += (name.empty() ? "" : ", ") + short_column_name(assignment);
  return name;
}

ColumnVariant variant_of_set(const std::string& text) {
  ColumnVariant variant;
  for (const auto& part : words_of(text, ';')) {
    if (part.rfind("name=", 0) == 0)
      variant.name = part.substr(5);
    else if (!part.empty())
      variant.assignments.push_back(part);
  }
  base::require(!variant.assignments.empty() || !variant.name.empty(),
                "--set \"{}\": write \"OPTION=VALUE;OPTION=VALUE;name=NAME\"",
                text);
  if (variant.name.empty()) variant.name = joined_names(variant.assignments);
  return variant;
}

/// "model.depth=4,6" -> {"model.depth=4", "model.depth=6"}.
std::vector<std::string> values_of_grid(const std::string& text) {
  const auto equals = text.find('=');
  base::require(equals != std::string::npos && equals > 0 && equals + 1 < text.size(),
                "--grid {}: write OPTION=VALUE,VALUE",
                text);
  const auto option = text.substr(0, equals + 1), values = text.substr(equals + 1);
  std::vector<std::string> assignments;
  for (const auto& value : words_of(values, values.find('|') == std::string::npos ? ',' : '|'))
    assignments.push_back(option + value);
  return assignments;
}

/// A column of the plan: how it is trained, or the runs that it is made of.
struct Column {
  std::string name;
  RunConfig training;
  std::vector<RunConfig> runs;           ///< of --run; empty: to be trained
  std::vector<std::string> unread = {};  ///< notes_of_unread() of what is to be trained
};

void check_config(const CompareOptions& options, const RunConfig& training) {
  training.validate();
  if (training.is_of_sequences()) return check_sequence_comparison(options, training);
  check_grid(training);
  GenerationSettings{training.diffusion, training.sample, training.guidance}.validate();
  SeedList::parse(compared_seeds(options, training.score_count));  // throws beyond the last seed
}

/// Of what the file, the flags and the column's own assignments give. A comparison scores its
/// samples, whether or not it scores during training.
std::vector<std::string> notes_of_column(const RunConfig& training,
                                         const std::vector<std::string>& given_names) {
  auto scored = training;
  scored.score_images = std::max<int64_t>(1, scored.score_images);
  const std::set<std::string> given(given_names.begin(), given_names.end());
  return notes_of_unread(scored, {given.begin(), given.end()});
}

/// The config of one column: the file, the flags over it, the column's own over both; and its
/// notes_of_column().
RunConfig read_config(const CompareOptions& options,
                      const std::string& config,
                      const ColumnVariant& variant,
                      const std::function<void(RunConfig&)>& override_with_flags,
                      std::vector<std::string>& unread) {
  RunConfig training;
  training.dataset.image_size = 0;
  training.leave_to_data();
  auto given = read_toml(find_config(config), training);
  given.insert(given.end(), options.given.begin(), options.given.end());
  override_with_flags(training);
  const auto where = fmt::format("--set or --grid of \"{}\"", variant.name);
  const auto assignments = with_full_names(variant.assignments, training, where);
  assign(assignments, where, training);
  for (const auto& assignment : assignments) given.push_back(assigned_option(assignment));
  for (const auto& line : training.data.empty() && training.needs_data() ? take_defaults(training)
                                                                         : take_from_data(training))
    fmt::print(stderr, "note: {}: {}\n", variant.name.empty() ? config : variant.name, line);
  if (training.score_images == 0 && options.curve_points > 0)
    training.score_images = std::max<int64_t>(1, training.total_images / options.curve_points);
  check_config(options, training);
  unread = notes_of_column(training, given);
  return training;
}

std::vector<Column> columns_to_train(const CompareOptions& options,
                                     const std::function<void(RunConfig&)>& override_with_flags) {
  std::vector<Column> columns;
  const auto variants = column_variants(options);
  for (const auto& config : options.config)
    for (const auto& variant : variants) {
      auto name = variant.name.empty() ? fs::path(config).stem().string() : variant.name;
      if (options.config.size() > 1 && !variant.name.empty())
        name = fs::path(config).stem().string() + ", " + variant.name;
      Column column{std::move(name), {}, {}};
      column.training = read_config(options, config, variant, override_with_flags, column.unread);
      columns.push_back(std::move(column));
    }
  return columns;
}

/// "runs/uvic-seed2" -> "uvic".
std::string name_of_run(const std::string& folder, int64_t seed) {
  const auto path = fs::absolute(folder).lexically_normal();
  auto name = (path.has_filename() ? path : path.parent_path()).filename().string();
  const auto ending = fmt::format("-seed{}", seed);
  if (name.size() > ending.size() && name.substr(name.size() - ending.size()) == ending)
    name.resize(name.size() - ending.size());
  return name;
}

std::vector<Column> columns_of_runs(const CompareOptions& options,
                                    const std::function<void(RunConfig&)>& override_with_flags) {
  std::vector<Column> columns;
  std::vector<std::pair<std::string, std::string>> keys;  // given name, config
  std::set<fs::path> known;
  for (const auto& text : options.run) {
    const auto parts = words_of(text, ';');
    std::string name;
    for (size_t i = 1; i < parts.size(); ++i) {
      base::require(
          parts[i].rfind("name=", 0) == 0, "--run \"{}\": write PATH or \"PATH;name=NAME\"", text);
      name = parts[i].substr(5);
    }
    const RunDir run(parts.empty() ? text : parts[0]);
    std::error_code ignored;
    base::require(known.insert(fs::weakly_canonical(run.path(), ignored)).second,
                  "--run {}: given twice",
                  run.path().string());
    run.latest_weights();  // throws where there are none
    auto own = read_run_config(run);
    own.out = run.path().string();
    const std::pair<std::string, std::string> key{name, name.empty() ? repeat_key(own) : ""};
    auto training = own;
    override_with_flags(training);
    training.out = own.out;
    training.seed = own.seed;
    training.total_images = own.total_images;
    training.model = own.model;
    training.diffusion = own.diffusion;
    if (own.is_of_sequences()) {
      training.tokens = own.tokens;
      training.encoders = own.encoders;  // the tokenizer, too, is the run's
    }
    check_config(options, training);
    const auto found = std::find(keys.begin(), keys.end(), key);
    if (found != keys.end()) {
      columns[static_cast<size_t>(found - keys.begin())].runs.push_back(training);
      continue;
    }
    keys.push_back(key);
    columns.push_back({name.empty() ? name_of_run(own.out, own.seed) : name, training, {training}});
  }
  return columns;
}

void check_columns(const std::vector<Column>& columns) {
  base::require(columns.size() <= kMostColumns,
                "compare: {} columns; at most {} in one comparison",
                columns.size(),
                kMostColumns);
  std::set<std::string> used;
  for (const auto& column : columns) {
    base::require(used.insert(safe_name(column.name)).second,
                  "compare: two columns are named {}; give each its own --name",
                  column.name);
    const bool sequences = column.training.is_of_sequences();
    base::require(sequences == columns.front().training.is_of_sequences(),
                  "{}: a network of {}, {} is one of {}; compare networks of one kind",
                  column.name,
                  sequences ? "sequences" : "images",
                  columns.front().name,
                  sequences ? "images" : "sequences");
    const auto side = [&](const RunConfig& training) {
      return sequences ? 0 : image_size_of(training.encoders, training.model.input());
    };
    const auto size = side(column.training), first = side(columns.front().training);
    base::require(size == first,
                  "{}: images of {} px, {} has {} px; compare equal sizes",
                  column.name,
                  size,
                  columns.front().name,
                  first);
    base::require(column.training.score_count == columns.front().training.score_count,
                  "{}: score_count {}, {} has {}; give one --score_count for all",
                  column.name,
                  column.training.score_count,
                  columns.front().name,
                  columns.front().training.score_count);
  }
}

void check_baseline(const CompareOptions& options, const std::vector<Column>& columns) {
  std::string names;
  for (const auto& column : columns) {
    if (column.name == options.baseline) return;
    names += (names.empty() ? "" : ", ") + column.name;
  }
  base::require(options.baseline.empty(),
                "--baseline {}: no such column; give one of {}",
                options.baseline,
                names);
}

/// Each note once, with the columns that it holds for where it does not for all that are trained.
void say_unread(const std::vector<Column>& columns) {
  std::vector<std::pair<std::string, std::vector<std::string>>> notes;
  size_t trained = 0;
  for (const auto& column : columns) {
    trained += column.runs.empty();
    for (const auto& text : column.unread) {
      auto same = std::find_if(
          notes.begin(), notes.end(), [&](const auto& note) { return note.first == text; });
      if (same == notes.end()) same = notes.insert(notes.end(), {text, {}});
      same->second.push_back(column.name);
    }
  }
  for (const auto& [text, names] : notes)
    fmt::print(stderr,
               "note: {}{}\n",
               names.size() == trained ? "" : fmt::format("{}: ", fmt::join(names, ", ")),
               text);
}

}  // namespace

std::vector<base::Choice> report_table_choices() {
  auto choices = table_format_choices();
  choices.insert(choices.begin(), {"text", "the verdict and all rows, for people"});
  return choices;
}

std::vector<ColumnVariant> column_variants(const CompareOptions& options) {
  std::vector<ColumnVariant> variants;
  for (const auto& set : options.set) variants.push_back(variant_of_set(set));
  if (variants.empty()) variants.emplace_back();
  for (const auto& grid : options.grid) {
    std::vector<ColumnVariant> product;
    for (const auto& variant : variants)
      for (const auto& assignment : values_of_grid(grid)) {
        auto one = variant;
        one.assignments.push_back(assignment);
        one.name += (one.name.empty() ? "" : ", ") + short_column_name(assignment);
        product.push_back(std::move(one));
      }
    variants = std::move(product);
  }
  return variants;
}

std::string repeat_key(RunConfig config) {
  config.seed = 0;
  config.out.clear();
  return to_toml(config);
}

std::string compared_seeds(const CompareOptions& options, int64_t count) {
  return fmt::format("{}-{}", options.first_sample_seed, options.first_sample_seed + count - 1);
}

void CompareOptions::validate() const {
  base::check_fields(*this);
  base::require(!config.empty() || !run.empty(),
                "compare: --config is missing; give it once for each column, or --run");
  base::require(!config.empty() || (set.empty() && grid.empty()),
                "compare: --set and --grid change a --config; give one");
}

std::vector<ComparedRun> plan_comparison(
    const CompareOptions& options,
    const fs::path& out,
    const std::function<void(RunConfig&)>& override_with_flags) {
  options.validate();
  formats::refuse_flag_as_path(out);
  auto columns = columns_to_train(options, override_with_flags);
  for (auto& column : columns_of_runs(options, override_with_flags))
    columns.push_back(std::move(column));
  base::require(options.name.empty() || options.name.size() == columns.size(),
                "compare: {} of --name, {} columns; give one name for each, or none",
                options.name.size(),
                columns.size());
  for (size_t i = 0; i < options.name.size(); ++i) columns[i].name = options.name[i];
  check_columns(columns);
  check_baseline(options, columns);
  say_unread(columns);
  int64_t rounds = options.config.empty() ? 0 : options.seeds_per_config;
  for (const auto& column : columns)
    rounds = std::max(rounds, static_cast<int64_t>(column.runs.size()));
  std::vector<ComparedRun> plan;
  for (int64_t round = 0; round < rounds; ++round)
    for (const auto& column : columns) {
      const bool trained = column.runs.empty();
      if (round >= (trained ? options.seeds_per_config : static_cast<int64_t>(column.runs.size())))
        continue;
      ComparedRun run{
          column.name, trained ? column.training : column.runs[static_cast<size_t>(round)], {}, {}};
      run.round = round;
      run.is_finished = !trained;
      if (trained) run.training.seed += round;
      const auto stem = fmt::format("{}-seed{}", safe_name(column.name), run.training.seed);
      if (trained) run.training.out = (out / "runs" / stem).string();
      run.samples = out / "samples" / stem;
      run.score = out / "scores" / (stem + ".json");
      plan.push_back(run);
    }
  std::set<fs::path> places;
  for (const auto& run : plan)
    base::require(places.insert(run.score).second,
                  "compare: {} has two runs of seed {}; give each its own column by --run "
                  "\"PATH;name=NAME\"",
                  run.column,
                  run.training.seed);
  return plan;
}

}  // namespace uvic::app
