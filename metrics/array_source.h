// What .npy and .npz files hold: statistics, features or images, recognised as a whole.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/torch.h"
#include "data/dataset.h"
#include "data/formats/npy.h"

namespace uvic::metrics {

/// Names of the arrays of a file by their part; empty where there is none. In a .npy the one array
/// has the name "-".
struct ArrayRoles {
  std::string mean, covariance;                  ///< [D], [D, D]
  std::string spatial_mean, spatial_covariance;  ///< of sFID's features, as ADM writes them
  std::string features;                          ///< floating [N, D]
  std::string spatial, logits;                   ///< next to `features`, as write_features has them
  std::string images;                            ///< uint8 [N, H, W, 3] or [N, 3, H, W]
  std::string labels;                            ///< integers [N], of `images`
  std::string text;  ///< in one line, as "statistics mu, sigma [2048]; images arr_0 [50000, ...]"

  bool is_statistics() const { return !mean.empty(); }
};

/// The arrays of a file by name: of an .npz; the one of a .npy, named "-"; and those of a pickled
/// object (numpy.save of a dictionary, a .pkl), by dotted path ("fid.mu").
class ArrayFile {
 public:
  /// Lists the arrays without reading them. Throws std::runtime_error where there is none that can
  /// be read.
  explicit ArrayFile(const std::string& path);

  const std::string& path() const { return path_; }
  const std::map<std::string, formats::ArrayInfo>& arrays() const { return arrays_; }
  bool has(const std::string& name) const { return arrays_.count(name) > 0; }
  /// Throws std::runtime_error that lists the names there are.
  torch::Tensor read(const std::string& name) const;

 private:
  void add_pickled(const std::string& prefix, const formats::PickledArrays& pickled);

  std::string path_;
  std::map<std::string, formats::ArrayInfo> arrays_;
  std::map<std::string, torch::Tensor> pickled_;  // views of the file
  std::set<std::string> foreign_;
  std::optional<formats::NpzFile> npz_;
};

/// PATH or PATH:NAME, where NAME is an array of the file at PATH.
struct ArrayPath {
  std::string path, name;  ///< name: "" unless given
};

/// `source` as the path of an .npy, .npz, .pkl or .pickle file that exists; an empty path where it
/// is none.
ArrayPath array_path(const std::string& source);

/// Recognises the arrays of a file by name, dtype and shape, without reading them.
///
/// Statistics are a pair (mu, sigma), (m, s), (mean, cov), (mean, covariance) or (mean, sigma),
/// [D] and [D, D], also below a common name (fid.mu, fid.sigma); mu_s and sigma_s next to them are
/// those of spatial features. Images are
/// uint8 with a colour axis, features floating [N, D]. A file may hold statistics together with the
/// images or features that they are of (ADM's reference batches; write_features). Of several arrays
/// that could be the statistics, the features or the images none is taken: PATH:NAME chooses.
///
/// Throws std::runtime_error listing the arrays where nothing fits or several do; where a matrix
/// [D, D] next to a vector [D], or a symmetric matrix alone, would have to be taken for features.
ArrayRoles recognise_arrays(const ArrayPath& source);

/// The array of that name. Throws std::runtime_error that lists the names there are.
torch::Tensor read_array(const ArrayPath& source, const std::string& name);

/// The images of a file, with their labels where it has some. image_size 0: the shorter side
/// of the array's images; read() crops and resizes as an image folder does, read_whole() does not.
std::unique_ptr<data::Dataset> open_array_images(const ArrayPath& source, int64_t image_size);

}  // namespace uvic::metrics
