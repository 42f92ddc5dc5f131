// All that a faceperc model says about one face, in C++ with ONNX Runtime:
//
//     face faceperc-nano.onnx photo.ppm 175 66 271 178
//
// The four numbers are the face's box in pixels, hairline to chin. The program knows no task by name: the
// metadata inside the model file (docs/contract.md) says what its outputs are.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

using json = nlohmann::ordered_json;

struct Image {
  int width = 0, height = 0;
  std::vector<uint8_t> pixels;  // RGB

  uint8_t at(int x, int y, int channel) const { return pixels[3 * (size_t(y) * width + x) + channel]; }
};

// A binary PPM: "P6 width height 255", one white space, the pixels.
Image read_ppm(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string magic;
  Image image;
  int maximum = 0;
  file >> magic >> image.width >> image.height >> maximum;
  if (!file || magic != "P6" || maximum != 255 || image.width < 1 || image.height < 1)
    throw std::runtime_error(path + ": is not a binary PPM (P6) with 8 bits per channel and no comments");
  file.get();
  image.pixels.resize(size_t(image.width) * image.height * 3);
  if (!file.read(reinterpret_cast<char*>(image.pixels.data()), image.pixels.size()))
    throw std::runtime_error(path + ": is truncated");
  return image;
}

// The square region of the image that the network sees. Its left top corner is the OUTER corner of its first
// pixel, where (0, 0) is the centre of the image's left top pixel.
struct Crop {
  double left, top, step;  // step: image pixels per crop pixel
  int size;

  Crop(const std::array<double, 4>& box, const json& rule) : size(rule["size"]) {
    // what is no number is larger than nothing
    if (!(box[2] > box[0] && box[3] > box[1] && *std::max_element(box.begin(), box.end()) <= 1e6 &&
          *std::min_element(box.begin(), box.end()) >= -1e6))
      throw std::runtime_error("a box is x0 y0 x1 y1 in pixels, with x1 > x0 and y1 > y0");
    const double longer = std::max(box[2] - box[0], box[3] - box[1]);
    const double side = double(rule["scale"]) * longer;
    left = (box[0] + box[2] - side) / 2 + double(rule["shift"][0]) * longer;
    top = (box[1] + box[3] - side) / 2 + double(rule["shift"][1]) * longer;
    step = side / size;
  }
};

// Average blocks of factor x factor pixels, so that nothing aliases when the crop shrinks the image.
Image shrunk(const Image& image, int factor) {
  Image small{(image.width + factor - 1) / factor, (image.height + factor - 1) / factor, {}};
  small.pixels.reserve(size_t(small.width) * small.height * 3);
  for (int y = 0; y < image.height; y += factor) {
    for (int x = 0; x < image.width; x += factor) {
      const int right = std::min(x + factor, image.width), bottom = std::min(y + factor, image.height);
      for (int channel = 0; channel < 3; ++channel) {
        unsigned sum = 0, count = (right - x) * (bottom - y);
        for (int row = y; row < bottom; ++row)
          for (int column = x; column < right; ++column) sum += image.at(column, row, channel);
        small.pixels.push_back(uint8_t((sum + count / 2) / count));
      }
    }
  }
  return small;
}

// The crop's pixels (size, size, 3): blocks averaged, then interpolated linearly; black outside the image.
std::vector<uint8_t> warp(const Image& image, const Crop& crop) {
  const int factor = std::max(1, int(crop.step));
  const Image small = shrunk(image, factor);
  std::vector<uint8_t> pixels(size_t(crop.size) * crop.size * 3, 0);
  for (int row = 0; row < crop.size; ++row) {
    const double y = (crop.top + 0.5 + (row + 0.5) * crop.step) / factor;
    for (int column = 0; column < crop.size; ++column) {
      const double x = (crop.left + 0.5 + (column + 0.5) * crop.step) / factor;
      if (x < 0 || y < 0 || x >= small.width || y >= small.height) continue;
      const int x0 = int(std::floor(x - 0.5)), y0 = int(std::floor(y - 0.5));
      const double dx = x - 0.5 - x0, dy = y - 0.5 - y0;
      const int before = std::max(x0, 0), after = std::min(x0 + 1, small.width - 1);
      const int above = std::max(y0, 0), below = std::min(y0 + 1, small.height - 1);
      for (int c = 0; c < 3; ++c) {
        const double upper = small.at(before, above, c) * (1 - dx) + small.at(after, above, c) * dx;
        const double lower = small.at(before, below, c) * (1 - dx) + small.at(after, below, c) * dx;
        pixels[3 * (size_t(row) * crop.size + column) + c] = uint8_t(upper * (1 - dy) + lower * dy);
      }
    }
  }
  return pixels;
}

size_t best(const float* values, size_t count, size_t stride = 1) {
  size_t index = 0;
  for (size_t i = 1; i < count; ++i)
    if (values[i * stride] > values[index * stride]) index = i;
  return index;
}

// One field of a task, in the frame of the image. `shape` is that of the output; a batch of 1 comes first.
json present(const std::string& kind, const std::string& field, const json& task, const Crop& crop,
             const float* values, const std::vector<int64_t>& shape) {
  const size_t count = shape.size() > 1 ? size_t(shape[1]) : 1;
  if (kind == "points" && field == "points") {
    json points;
    for (const float* xy = values; xy < values + 2 * count; xy += 2)
      points.push_back({crop.left + (xy[0] + 0.5) * crop.step, crop.top + (xy[1] + 0.5) * crop.step});
    return points;
  }
  if (kind == "points" && field == "sigma") {
    json sigma;
    for (size_t i = 0; i < count; ++i) sigma.push_back(values[i] * crop.step);
    return sigma;
  }
  if (kind == "rotation") {  // row by row; of the two solutions the one with |pitch| <= 90
    const float* r = values;
    const double away = r[8] < 0 ? -1 : 1, degrees = 180 / std::acos(-1.0);
    return {{"yaw", degrees * std::atan2(-r[2], away * std::hypot(r[5], r[8]))},
            {"pitch", degrees * std::atan2(away * r[5], away * r[8])},
            {"roll", degrees * std::atan2(away * r[1], away * r[0])}};
  }
  if (kind == "mask") {  // share of the region that each class covers
    const size_t pixels = size_t(shape[2] * shape[3]);
    std::vector<double> share(count, 0.0);
    for (size_t i = 0; i < pixels; ++i) share[best(values + i, count, pixels)] += 1.0 / pixels;
    json areas;
    for (size_t i = 0; i < count; ++i) areas[std::string(task["labels"][i])] = share[i];
    return areas;
  }
  if (kind == "classes") {
    const size_t winner = best(values, count);
    return {{"label", task["labels"][winner]}, {"score", values[winner]}};
  }
  if (kind == "probabilities") {
    json result;
    for (size_t i = 0; i < count; ++i) result[std::string(task["labels"][i])] = values[i];
    return result;
  }
  if (shape.size() == 1) return values[0];            // a scalar's value
  return std::vector<float>(values, values + count);  // its distribution, or the visibility of points
}

json analyse(const std::string& path, const Image& image, const std::array<double, 4>& box) {
  Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "faceperc");
  Ort::Session session(environment, path.c_str(), Ort::SessionOptions{});
  Ort::AllocatorWithDefaultOptions allocator;
  const auto text = session.GetModelMetadata().LookupCustomMetadataMapAllocated("faceperc", allocator);
  if (!text) throw std::runtime_error(path + ": is not a faceperc model");
  const json about = json::parse(text.get());
  if (about["role"] != "face") throw std::runtime_error(path + ": is not a face model");
  if (about.value("form", "crop") != "crop")
    throw std::runtime_error(path + ": takes whole images; use its crop form: faceperc export --form crop");

  const Crop crop(box, about["crop"]);
  std::vector<uint8_t> pixels = warp(image, crop);
  const int64_t shape[] = {1, crop.size, crop.size, 3};
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const auto input = Ort::Value::CreateTensor<uint8_t>(memory, pixels.data(), pixels.size(), shape, 4);

  std::vector<std::string> outputs;
  for (const auto& task : about["tasks"])
    for (const auto& field : task["fields"]) outputs.push_back(field["output"]);
  std::vector<const char*> names;
  for (const auto& name : outputs) names.push_back(name.c_str());
  const std::string input_name = about["input"]["name"];
  const char* input_names[] = {input_name.c_str()};
  const auto values = session.Run(Ort::RunOptions{}, input_names, &input, 1, names.data(), names.size());

  json answer;
  size_t index = 0;  // the outputs are in the order in which they were asked for
  for (const auto& [name, task] : about["tasks"].items()) {
    for (const auto& [field, unused] : task["fields"].items()) {
      const Ort::Value& value = values[index++];
      answer[name][field] = present(task["kind"], field, task, crop, value.GetTensorData<float>(),
                                    value.GetTensorTypeAndShapeInfo().GetShape());
    }
  }
  return answer;
}

int main(int count, char** arguments) try {
  if (count != 7) throw std::runtime_error("usage: face MODEL.onnx IMAGE.ppm X0 Y0 X1 Y1");
  std::array<double, 4> box;
  for (int i = 0; i < 4; ++i) box[i] = std::stod(arguments[3 + i]);
  std::cout << analyse(arguments[1], read_ppm(arguments[2]), box).dump(2) << "\n";
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
