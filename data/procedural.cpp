#include "data/procedural.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

#include "base/hash.h"

// Built with -ffp-contract=off: a fused multiply-add would change bytes from machine to machine.

namespace uvic::data {
namespace {

constexpr int kProceduralVersion = 2;  // part of the fingerprint: raise it when a pixel changes

struct Colour {
  float r, g, b;  // 0 .. 255
};

Colour mix(const Colour& a, const Colour& b, float t) {
  return {a.r + t * (b.r - a.r), a.g + t * (b.g - a.g), a.b + t * (b.b - a.b)};
}

// ---- Shapes: signed distance, negative inside, of a point in the unit disc, y upwards ----
// The formulas follow Inigo Quilez, "2D distance functions",
// https://iquilezles.org/articles/distfunctions2d; corners need no exact distance outside, so
// polygons are half-planes.

float length(float x, float y) { return std::sqrt(x * x + y * y); }

float box(float x, float y, float half_width, float half_height) {
  return std::max(std::abs(x) - half_width, std::abs(y) - half_height);
}

struct Circle {
  static float distance(float x, float y) { return length(x, y) - 0.9f; }
};

struct Square {
  static float distance(float x, float y) { return box(x, y, 0.78f, 0.78f); }
};

struct Triangle {
  static float distance(float x, float y) {
    return std::max(std::abs(x) * 0.8660254f + y * 0.5f, -y - 0.06f) - 0.54f;
  }
};

/// Five points: the plane is folded until one edge remains.
struct Star {
  static float distance(float x, float y) {
    constexpr float kCos = 0.80901699f, kSin = 0.58778525f;  // of 36 degrees
    x = std::abs(x);
    float fold = 2 * std::max(kCos * x - kSin * y, 0.0f);
    x -= fold * kCos, y += fold * kSin;
    fold = 2 * std::max(-kCos * x - kSin * y, 0.0f);
    x += fold * kCos, y += fold * kSin;
    x = std::abs(x), y -= 1.05f;
    constexpr float kEdgeX = 0.47f * kSin, kEdgeY = 0.47f * kCos - 1.05f;  // tip to inner corner
    constexpr float kLength = 0.7237f;
    return (y * kEdgeX - x * kEdgeY) / kLength;
  }
};

struct Cross {
  static float distance(float x, float y) {
    return std::min(box(x, y, 0.92f, 0.3f), box(x, y, 0.3f, 0.92f));
  }
};

struct Ring {
  static float distance(float x, float y) { return std::abs(length(x, y) - 0.7f) - 0.24f; }
};

struct Heart {
  static float distance(float x, float y) {
    x = std::abs(x) * 0.6f, y = y * 0.6f + 0.57f;
    const float lobe = length(x - 0.25f, y - 0.75f) - 0.35355339f;
    const float cleft = x * x + (y - 1) * (y - 1);
    const float along = 0.5f * std::max(x + y, 0.0f);
    const float side = (x - along) * (x - along) + (y - along) * (y - along);
    const float root = std::sqrt(std::min(cleft, side));
    const float body = x > y ? root : -root;
    return (x + y > 1 ? lobe : body) * (1 / 0.6f);
  }
};

struct Moon {
  static float distance(float x, float y) {
    return std::max(length(x - 0.15f, y) - 0.95f, 0.83f - length(x - 0.68f, y));
  }
};

struct Arrow {
  static float distance(float x, float y) {
    y = std::abs(y);
    const float shaft = std::max(std::abs(x + 0.42f) - 0.53f, y - 0.25f);
    const float head = std::max(-0.02f - x, (x - 0.97f) * 0.6f + y * 0.8f);
    return std::min(shaft, head);
  }
};

struct Flower {
  static float distance(float x, float y) {
    constexpr float kCos = 0.80901699f, kSin = 0.58778525f;
    const float centre = length(x, y);
    x = std::abs(x);
    float fold = 2 * std::max(kCos * x - kSin * y, 0.0f);
    x -= fold * kCos, y += fold * kSin;
    fold = 2 * std::max(-kCos * x - kSin * y, 0.0f);
    x += fold * kCos, y += fold * kSin;
    const float petals = std::min(length(x, y - 0.63f) - 0.4f, centre - 0.55f);
    return std::max(petals, 0.27f - centre);
  }
};

const std::vector<std::string>& kClassNames = shape_words();

// ---- Grounds: a quiet pattern in [-1, 1] that blends two muted colours ----

/// A triangle wave of period 1, its corners rounded.
float wave(float t) {
  t += 64;  // positive, so that truncation is floor
  const float w = 4 * std::abs(t - static_cast<float>(static_cast<int>(t)) - 0.5f) - 1;
  return w * (1.5f - 0.5f * w * w);
}

enum class Texture { kGradient, kStripes, kChecks, kNoise };

struct Scene {
  uint32_t shape;
  float centre_x, centre_y, radius;  // of a square of side 2, y upwards
  float cosine, sine;                // of the shape's rotation
  Colour top, bottom;                // the shape's shading
  Texture texture;
  Colour ground_a, ground_b;
  float direction_x, direction_y, frequency, phase;
  std::array<float, 36> lattice;  // 6 x 6 values of the noise
  ProceduralAttributes attributes;
};

/// Rotation by twice the arc tangent of `tangent`, plus `quarter` right angles, without sines.
void rotate(Scene& scene, float tangent, uint32_t quarter) {
  const float t = tangent, s = 1 / (1 + t * t);
  float cosine = (1 - t * t) * s, sine = 2 * t * s;
  for (; quarter > 0; --quarter) {
    const float c = cosine;
    cosine = -sine, sine = c;
  }
  scene.cosine = cosine, scene.sine = sine;
}

constexpr std::array<Colour, 10> kVivid = {{{226, 38, 44},
                                            {240, 98, 12},
                                            {250, 172, 8},
                                            {122, 180, 30},
                                            {24, 150, 68},
                                            {0, 160, 168},
                                            {24, 112, 224},
                                            {70, 60, 190},
                                            {148, 40, 176},
                                            {232, 44, 128}}};

/// `named`: sizes and colours are apart from each other, as their words are.
Scene sample_scene(uint64_t seed, uint64_t index, bool named) {
  base::RandomStream random(seed, index);
  Scene scene;
  auto& attributes = scene.attributes;
  scene.shape = attributes.shape = static_cast<uint32_t>(index % kClassNames.size());
  attributes.size = named ? random.below(2) : 1;
  scene.radius = !named            ? random.uniform(0.62f, 0.86f)
                 : attributes.size ? random.uniform(0.70f, 0.86f)
                                   : random.uniform(0.36f, 0.50f);
  const float room = 0.5f * (0.96f - scene.radius);
  scene.centre_x = random.uniform(-room, room);
  scene.centre_y = random.uniform(-room, room);
  const float tilt = random.uniform(-0.1f, 0.1f);  // +-11 degrees
  const uint32_t quarter = random.below(4);
  if (kClassNames[scene.shape] == "arrow")
    rotate(scene, tilt, quarter);
  else
    rotate(scene, tilt, kClassNames[scene.shape] == "moon" ? quarter & 2 : 0);

  const uint32_t hue = random.below(10);
  const auto& next = kVivid[(hue + 1) % 10];
  const Colour vivid = mix(kVivid[hue], next, (named ? 0.25f : 1.0f) * random.uniform());
  attributes.colour = hue;
  scene.top = mix(vivid, {255, 255, 255}, 0.22f);
  scene.bottom = mix(vivid, {0, 0, 0}, 0.16f);

  const Colour tint = kVivid[(hue + 4 + random.below(4)) % 10];  // never the shape's own hue
  const bool dark = named ? random.below(2) == 0 : random.below(3) == 0;
  attributes.tone = dark ? 1 : 0;
  const Colour base = dark ? Colour{30, 34, 46} : Colour{236, 234, 228};
  const float strength = dark ? random.uniform(0.05f, 0.2f) : random.uniform(0.06f, 0.26f);
  const Colour ground = mix(base, tint, strength);
  scene.ground_a = mix(ground, {255, 255, 255}, dark ? 0.09f : 0.4f);
  scene.ground_b = mix(ground, {0, 0, 0}, dark ? 0.2f : 0.11f);

  attributes.texture = random.below(4);
  scene.texture = static_cast<Texture>(attributes.texture);
  const float t = random.uniform(-1, 1), s = 1 / (1 + t * t);
  scene.direction_x = (1 - t * t) * s, scene.direction_y = 2 * t * s;
  scene.frequency = random.uniform(0.8f, 1.5f);
  scene.phase = random.uniform();
  for (auto& value : scene.lattice) value = random.uniform(-1, 1);
  return scene;
}

/// Fills pattern[x] for the row at height y.
void ground_row(const Scene& scene, float y, const float* xs, int64_t width, float* pattern) {
  const float dx = scene.direction_x, dy = scene.direction_y, f = scene.frequency;
  switch (scene.texture) {
    case Texture::kGradient:
      for (int64_t i = 0; i < width; ++i) pattern[i] = 0.7f * (xs[i] * dx + y * dy);
      break;
    case Texture::kStripes:
      for (int64_t i = 0; i < width; ++i)
        pattern[i] = wave((xs[i] * dx + y * dy) * f + scene.phase);
      break;
    case Texture::kChecks:
      for (int64_t i = 0; i < width; ++i) {
        const float u = wave((xs[i] * dx + y * dy) * f * 0.6f + scene.phase);
        const float v = wave((y * dx - xs[i] * dy) * f * 0.6f + scene.phase);
        pattern[i] = std::min(std::max(2.5f * u * v, -1.0f), 1.0f);
      }
      break;
    case Texture::kNoise: {
      const auto place = [](float at,
                            int& cell) {  // [-1, 1] -> lattice cell and its eased fraction
        const float t = std::min(std::max((at + 1) * 2.5f, 0.0f), 4.999f);
        cell = static_cast<int>(t);
        const float u = t - static_cast<float>(cell);
        return u * u * (3 - 2 * u);
      };
      int row;
      const float v = place(y, row);
      std::array<float, 6> line;
      for (int i = 0; i < 6; ++i) {
        const float above = scene.lattice[row * 6 + i], below = scene.lattice[row * 6 + 6 + i];
        line[i] = above + v * (below - above);
      }
      for (int64_t i = 0; i < width; ++i) {
        int column;
        const float u = place(xs[i], column);
        pattern[i] = line[column] + u * (line[column + 1] - line[column]);
      }
      break;
    }
  }
}

template <class Shape>
void draw(const Scene& scene, int64_t side, uint8_t* planes) {
  constexpr int64_t kStrip = 64;  // pixels of a row at a time, in registers and first-level cache
  const float pixel = 2.0f / static_cast<float>(side);
  const float inverse_radius = 1 / scene.radius, to_pixels = scene.radius / pixel;
  const int64_t plane = side * side;
  std::array<float, kStrip> xs, pattern;
  for (int64_t row = 0; row < side; ++row) {
    const float y = 1 - (static_cast<float>(row) + 0.5f) * pixel;
    for (int64_t begin = 0; begin < side; begin += kStrip) {
      const int64_t width = std::min(kStrip, side - begin);
      for (int64_t i = 0; i < width; ++i)
        xs[i] = (static_cast<float>(begin + i) + 0.5f) * pixel - 1;
      ground_row(scene, y, xs.data(), width, pattern.data());
      uint8_t* red = planes + row * side + begin;
      uint8_t *green = red + plane, *blue = green + plane;
      const float v = (y - scene.centre_y) * inverse_radius;
      const float shade = std::min(std::max(0.5f - 0.5f * v, 0.0f), 1.0f);
      const Colour fill = mix(scene.top, scene.bottom, shade);
      for (int64_t i = 0; i < width; ++i) {
        const float u = (xs[i] - scene.centre_x) * inverse_radius;
        const float d =
            Shape::distance(u * scene.cosine + v * scene.sine, v * scene.cosine - u * scene.sine);
        const float cover = std::min(std::max(0.5f - d * to_pixels, 0.0f), 1.0f);
        const float halo = std::max(1 - std::max(d, 0.0f) * 4.5f, 0.0f);
        const float dim = 1 - 0.2f * halo * halo;
        const float blend = 0.5f + 0.5f * pattern[i];
        const auto paint = [&](float a, float b, float over) {
          const float ground = (a + blend * (b - a)) * dim;
          return static_cast<uint8_t>(static_cast<int>(ground + cover * (over - ground) + 0.5f));
        };
        red[i] = paint(scene.ground_a.r, scene.ground_b.r, fill.r);
        green[i] = paint(scene.ground_a.g, scene.ground_b.g, fill.g);
        blue[i] = paint(scene.ground_a.b, scene.ground_b.b, fill.b);
      }
    }
  }
}

using Draw = void (*)(const Scene&, int64_t, uint8_t*);
constexpr std::array<Draw, 10> kDraw = {draw<Circle>,
                                        draw<Square>,
                                        draw<Triangle>,
                                        draw<Star>,
                                        draw<Cross>,
                                        draw<Ring>,
                                        draw<Heart>,
                                        draw<Moon>,
                                        draw<Arrow>,
                                        draw<Flower>};

}  // namespace

ProceduralDataset::ProceduralDataset(int64_t size, int64_t image_size, uint64_t seed)
    : size_(size), image_size_(image_size), seed_(seed) {
  if (size < 1)
    throw std::invalid_argument(
        fmt::format("procedural: procedural_images is {}, want at least 1", size));
  if (image_size < 1)
    throw std::invalid_argument(
        fmt::format("procedural: image_size is {}, want at least 1", image_size));
}

const std::vector<std::string>& ProceduralDataset::class_names() const { return kClassNames; }

std::string ProceduralDataset::describe() const {
  return fmt::format("procedural: {} images of {} px, {} classes, seed {}",
                     size_,
                     image_size_,
                     kClassNames.size(),
                     seed_);
}

std::string ProceduralDataset::fingerprint() const {
  return fmt::format(
      "procedural v{} images={} size={} seed={}", kProceduralVersion, size_, image_size_, seed_);
}

int64_t ProceduralDataset::read(int64_t index, uint8_t* planes) const {
  if (index < 0 || index >= size_)
    throw std::out_of_range(fmt::format("procedural: image {} of {}", index, size_));
  const Scene scene = sample_scene(seed_, static_cast<uint64_t>(index), /*named=*/false);
  kDraw[scene.shape](scene, image_size_, planes);
  return scene.shape;
}

ProceduralAttributes draw_named(uint64_t seed, uint64_t index, int64_t side, uint8_t* planes) {
  const Scene scene = sample_scene(seed, index, /*named=*/true);
  if (planes) kDraw[scene.shape](scene, side, planes);
  return scene.attributes;
}

}  // namespace uvic::data
