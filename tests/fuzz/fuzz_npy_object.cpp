#include "data/formats/npy_object.h"

#include "data/formats/npy.h"
#include "tests/fuzz/folder_input.h"
#include "tests/fuzz/fuzz_target.h"

// Pickled objects of NumPy: a tuple of arrays, a dictionary of them, a bare pickle.
UVIC_FUZZ_TARGET(npy_object, ".npy", ".pkl") {
  using namespace uvic;
  const auto file = formats::MappedFile::from_bytes(bytes, "fuzz");
  fuzz::Attempts attempt;
  attempt([&] {
    for (const auto& tensor : formats::read_npy_objects(file)) fuzz::touch(tensor);
  });
  const auto touch_all = [](const formats::PickledArrays& pickled) {
    for (const auto& [name, tensor] : pickled.arrays) fuzz::touch(tensor);
  };
  attempt([&] { touch_all(formats::read_pickled_arrays(file, 0, bytes.size())); });
  const auto pickle = bytes.find('\x80');
  if (formats::is_npy_object(bytes) && pickle != std::string::npos && pickle > 0)
    attempt([&] { touch_all(formats::read_pickled_arrays(file, pickle, bytes.size() - pickle)); });
  attempt.finish();
}
