#include "metrics/statistics.h"

#include "metrics/array_source.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// What scoring reads of .npz, .npy and .pkl: statistics, features, images.
UVIC_FUZZ_TARGET(statistics, ".npz", ".npy", ".pkl") {
  using namespace uvic;
  static const fuzz::ScratchFolder folder;
  const char* name = bytes.substr(0, 2) == "PK"          ? "a.npz"
                     : bytes.substr(0, 6) == "\x93NUMPY" ? "a.npy"
                     : !bytes.empty() && bytes[0] == '{' ? "a.npy"
                                                         : "a.pkl";
  const auto file = folder.write(name, fuzz::repaired(name, bytes)).string();
  fuzz::Attempts attempt;
  attempt([&] {
    const auto s = metrics::read_statistics(file);
    fuzz::touch(s.covariance);
  });
  attempt([&] { metrics::read_spatial_statistics(file); });
  attempt([&] {
    const metrics::ArrayPath path{file, ""};
    const auto roles = metrics::recognise_arrays(path);
    for (const auto& role : {roles.mean, roles.features, roles.images, roles.labels})
      if (!role.empty()) fuzz::touch(metrics::read_array(path, role));
    if (roles.images.empty()) return;
    const auto set = metrics::open_array_images(path, 0);
    const auto side = set->image_size();
    if (side > 256) return;
    std::vector<uint8_t> planes(static_cast<size_t>(3 * side * side));
    for (int64_t i = 0; i < std::min<int64_t>(set->size(), 4); ++i) {
      set->read(i, planes.data());
      fuzz::touch(set->read_whole(i));
    }
  });
  attempt.finish();
}
