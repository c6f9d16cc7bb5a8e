// Quads of the objects in an image, as text and as a picture, by a file of export.py and ONNX Runtime.
//
// Everything that the numbers need stands in the metadata of the file.  Pixels are x right, y down, the
// centre of pixel 0 at 0.5; quads are double, rounded to float where Python has float32.

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <jpeglib.h>
// after jpeglib.h, which it needs
#include <jerror.h>
#include <nlohmann/json.hpp>
#include <onnxruntime_cxx_api.h>
#include <png.h>

namespace {

using Json = nlohmann::json;

constexpr int FAULT = 2;                   // exit code of what the user can mend
constexpr double ROUNDING = 1e-6;          // px; a product that should be whole is not always
constexpr double TOLERANCE = 1.02;         // of a scale: nobody sees the difference
constexpr double DEFAULT_THRESHOLD = 0.3;  // where a file knows none
constexpr int LARGE = 1600;  // px; seen whole, a larger picture is shrunk, and lines of one pixel with it
constexpr char USAGE[] =
    "usage: find_quads MODEL.onnx IMAGE [text=FILE.txt] [picture=FILE.png] [threshold=0.5] [threads=N]\n"
    "                  [input=FILE.png]\n"
    "\n"
    "Finds what MODEL.onnx, made by export.py, knows in a PNG or JPEG.  Writes a line for each object,\n"
    "`x1 y1 x2 y2 x3 y3 x4 y4 class score` in pixels of the image, highest score first, to standard output\n"
    "or to text=; picture= is the image with outlines, input= what the network sees.\n";

// What the user can mend: one line on standard error.
struct UserError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

std::string first_line(const std::string& text) {
    const std::string line = text.substr(0, text.find('\n'));
    return line.size() > 160 ? line.substr(0, 160) + "..." : line;
}

// ---------------------------------------------------------------------------------------------- images

// (height, width, 3) RGB, row by row.
struct Image {
    int height = 0, width = 0;
    std::vector<uint8_t> pixels;

    Image(int height, int width, uint8_t grey = 0)
        : height(height), width(width), pixels(3 * static_cast<size_t>(height) * width, grey) {}
    uint8_t* at(int y, int x) { return &pixels[3 * (static_cast<size_t>(y) * width + x)]; }
    const uint8_t* at(int y, int x) const { return &pixels[3 * (static_cast<size_t>(y) * width + x)]; }
};

using File = std::unique_ptr<FILE, int (*)(FILE*)>;

// libpng and libjpeg jump on an error: the functions that they jump out of own nothing.

struct Png {
    png_structp png = nullptr;
    png_infop info = nullptr;
    char message[128] = "";

    Png() {
        png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error,
                                     [](png_structp, png_const_charp) {});
        info = png ? png_create_info_struct(png) : nullptr;
    }
    Png(const Png&) = delete;
    ~Png() { png_destroy_read_struct(&png, &info, nullptr); }

    [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
        auto* self = static_cast<Png*>(png_get_error_ptr(png));
        std::snprintf(self->message, sizeof self->message, "%s", message);
        png_longjmp(png, 1);
    }
};

// As OpenCV reads it: palettes and grey become RGB, alpha is dropped, gamma is left alone.
bool decode(Png& file, FILE* from) {
    if (!file.info || setjmp(png_jmpbuf(file.png))) return false;
    png_init_io(file.png, from);
    const int transforms = PNG_TRANSFORM_EXPAND | PNG_TRANSFORM_STRIP_ALPHA | PNG_TRANSFORM_GRAY_TO_RGB;
    png_read_png(file.png, file.info, transforms, nullptr);
    return true;
}

Image read_png(FILE* from, const std::string& path) {
    Png file;
    if (!decode(file, from)) throw UserError(path + ": cannot be decoded: " + file.message);
    const int depth = png_get_bit_depth(file.png, file.info);
    if (depth != 8) {
        throw UserError(path + ": expected 8 bits per channel, found " + std::to_string(depth));
    }
    Image image(png_get_image_height(file.png, file.info), png_get_image_width(file.png, file.info));
    png_bytepp rows = png_get_rows(file.png, file.info);
    for (int y = 0; y < image.height; ++y) std::copy_n(rows[y], 3 * image.width, image.at(y, 0));
    return image;
}

struct Jpeg {
    jpeg_decompress_struct state{};
    jpeg_error_mgr errors{};
    std::jmp_buf back{};
    char message[JMSG_LENGTH_MAX] = "";

    Jpeg() {
        state.err = jpeg_std_error(&errors);
        state.client_data = this;
        errors.error_exit = on_error;
        errors.emit_message = [](j_common_ptr state, int level) {  // the others are repaired, as OpenCV does
            if (level < 0 && state->err->msg_code == JWRN_JPEG_EOF) on_error(state);
        };
        jpeg_create_decompress(&state);
    }
    Jpeg(const Jpeg&) = delete;
    ~Jpeg() { jpeg_destroy_decompress(&state); }

    [[noreturn]] static void on_error(j_common_ptr state) {
        auto* self = static_cast<Jpeg*>(state->client_data);
        state->err->format_message(state, self->message);
        std::longjmp(self->back, 1);
    }
};

bool start(Jpeg& file, FILE* from) {
    if (setjmp(file.back)) return false;
    jpeg_stdio_src(&file.state, from);
    jpeg_read_header(&file.state, TRUE);
    file.state.out_color_space = JCS_RGB;
    jpeg_start_decompress(&file.state);
    return true;
}

bool decode(Jpeg& file, Image& image) {
    if (setjmp(file.back)) return false;
    while (file.state.output_scanline < file.state.output_height) {
        JSAMPROW row = image.at(static_cast<int>(file.state.output_scanline), 0);
        jpeg_read_scanlines(&file.state, &row, 1);
    }
    jpeg_finish_decompress(&file.state);
    return true;
}

Image read_jpeg(FILE* from, const std::string& path) {
    Jpeg file;
    if (start(file, from)) {
        Image image(file.state.output_height, file.state.output_width);
        if (decode(file, image)) return image;
    }
    throw UserError(path + ": cannot be decoded: " + file.message);
}

Image read_image(const std::string& path) {
    File file(std::fopen(path.c_str(), "rb"), std::fclose);
    if (!file) throw UserError(path + ": " + (errno == ENOENT ? "no such image file" : std::strerror(errno)));
    unsigned char head[8] = {};
    const size_t count = std::fread(head, 1, sizeof head, file.get());
    if (std::ferror(file.get())) throw UserError(path + ": cannot be read: " + std::strerror(errno));
    std::rewind(file.get());
    if (count == sizeof head && !png_sig_cmp(head, 0, sizeof head)) return read_png(file.get(), path);
    if (head[0] == 0xFF && head[1] == 0xD8) return read_jpeg(file.get(), path);
    throw UserError(path + ": expected a PNG or a JPEG");
}

// Calls `write` with a temporary name beside a path, which gets its name once the file is whole.
void replace(const std::string& path, const std::function<bool(const std::string&)>& write) {
    const std::string draft = path + ".part";
    errno = 0;
    if (!write(draft) || std::rename(draft.c_str(), path.c_str()) != 0) {
        const std::string why = errno ? std::strerror(errno) : "no room?";
        std::remove(draft.c_str());
        throw UserError(path + ": cannot be written: " + why);
    }
}

void write_png(const std::string& path, const Image& image) {
    png_image header{};
    header.version = PNG_IMAGE_VERSION;
    header.width = image.width;
    header.height = image.height;
    header.format = PNG_FORMAT_RGB;
    replace(path, [&](const std::string& draft) {
        return png_image_write_to_file(&header, draft.c_str(), 0, image.pixels.data(), 0, nullptr) != 0;
    });
}

// -------------------------------------------------------------------------------------------- letterbox

// Source pixels of one output pixel along one axis, and the share of each.
struct Span {
    int first;
    std::vector<float> shares;
};

// Returns which source pixels each of `count` output pixels covers: they divide `length` evenly.
std::vector<Span> spans(int length, int count) {
    constexpr double CROSSED = 1e-3;  // px; less of a pixel is not looked at
    const double step = static_cast<double>(length) / count;
    std::vector<Span> found;
    for (int k = 0; k < count; ++k) {
        const double begin = k * step, end = begin + step, width = std::min(step, length - begin);
        const int last = std::min(static_cast<int>(std::floor(end)), length - 1);
        const int first = std::min(static_cast<int>(std::ceil(begin)), last);
        Span span{first, std::vector<float>(last - first, static_cast<float>(1 / width))};
        if (first - begin > CROSSED) {
            span.first = first - 1;
            span.shares.insert(span.shares.begin(), static_cast<float>((first - begin) / width));
        }
        if (end - last > CROSSED) {
            span.shares.push_back(static_cast<float>(std::min(std::min(end - last, 1.0), width) / width));
        }
        found.push_back(std::move(span));
    }
    return found;
}

// Returns the image shrunk to the means of areas.
Image area_mean(const Image& image, int height, int width) {
    const auto rows = spans(image.height, height), columns = spans(image.width, width);
    const bool is_double = image.height == 2 * height && image.width == 2 * width;
    const auto rounded = [&](float value) {  // OpenCV rounds halves up there, elsewhere to even numbers
        return static_cast<uint8_t>(is_double ? std::floor(value + 0.5f) : std::nearbyint(value));
    };
    Image small(height, width);
    std::vector<float> sums(3 * static_cast<size_t>(width));
    for (int y = 0; y < height; ++y) {
        std::fill(sums.begin(), sums.end(), 0.0f);
        for (size_t j = 0; j < rows[y].shares.size(); ++j) {
            for (int x = 0; x < width; ++x) {
                const auto& column = columns[x];
                const uint8_t* from = image.at(rows[y].first + static_cast<int>(j), column.first);
                float mean[3] = {};
                for (const float share : column.shares) {
                    for (int c = 0; c < 3; ++c) mean[c] += share * *from++;
                }
                for (int c = 0; c < 3; ++c) sums[3 * x + c] += rows[y].shares[j] * mean[c];
            }
        }
        for (int k = 0; k < 3 * width; ++k) small.at(y, 0)[k] = rounded(sums[k]);
    }
    return small;
}

// From image to network input: input = scale * image + offset.
struct Fit {
    double scale, left, top;
};

struct Letterbox {
    int height, width;  // of the network input
    int fill;           // grey of the padding
    bool is_centred;
    std::optional<std::array<double, 3>> training_scale;  // lowest, middle, highest
};

// As wide or high as the input, but no larger than training showed its images.
Fit fit(const Image& image, const Letterbox& box, const std::string& path) {
    double scale = std::min(1.0 * box.height / image.height, 1.0 * box.width / image.width);
    if (box.training_scale) {
        const auto& [low, middle, high] = *box.training_scale;
        if (scale > high * TOLERANCE) scale = high;
        if (scale < low / TOLERANCE) {
            std::cerr.precision(2);
            std::cerr << path << ": shown at a scale of " << scale << ", learned from " << low
                      << " on; predict.py would cut it into tiles\n";
        }
    }
    const auto margin = [&](int target, int source) {
        return box.is_centred ? std::max(0.0, std::floor((target - scale * source + ROUNDING) / 2)) : 0.0;
    };
    return {scale, margin(box.width, image.width), margin(box.height, image.height)};
}

// Returns the image scaled into the network input, between pixel centres, grey where nothing lands.
Image letterboxed(const Image& source, const Fit& fit, const Letterbox& box) {
    const int factor = std::max(static_cast<int>(1 / std::max(fit.scale, 1e-6)), 1);
    const auto shrunk = [&](int side) {
        return std::max(static_cast<int>(std::nearbyint(1.0 * side / factor)), 1);
    };
    // below a half by a whole factor first, lest pixels be skipped
    const Image image = factor < 2 ? source : area_mean(source, shrunk(source.height), shrunk(source.width));
    // output pixel k has its centre at step * k + start of the image, both in the precision of OpenCV
    const double step_x = image.width / (fit.scale * source.width),
                 step_y = image.height / (fit.scale * source.height);
    const double start_x = (0.5 - fit.left) * step_x - 0.5, start_y = (0.5 - fit.top) * step_y - 0.5;
    const auto place = [](double step, int k, double start) {
        return std::fma(static_cast<float>(step), static_cast<float>(k), static_cast<float>(start));
    };
    const uint8_t grey[3] = {static_cast<uint8_t>(box.fill), static_cast<uint8_t>(box.fill),
                             static_cast<uint8_t>(box.fill)};
    const auto at = [&](int y, int x) {
        return y >= 0 && y < image.height && x >= 0 && x < image.width ? image.at(y, x) : grey;
    };
    Image input(box.height, box.width);
    for (int y = 0; y < box.height; ++y) {
        const float from_y = place(step_y, y, start_y), below = std::floor(from_y);
        const int top = static_cast<int>(below);
        for (int x = 0; x < box.width; ++x) {
            const float from_x = place(step_x, x, start_x), before = std::floor(from_x);
            const int left = static_cast<int>(before);
            const uint8_t *a = at(top, left), *b = at(top, left + 1), *c = at(top + 1, left),
                          *d = at(top + 1, left + 1);
            for (int k = 0; k < 3; ++k) {
                const float upper = a[k] + (from_x - before) * (b[k] - a[k]);
                const float lower = c[k] + (from_x - before) * (d[k] - c[k]);
                input.at(y, x)[k] =
                    static_cast<uint8_t>(std::nearbyint(upper + (from_y - below) * (lower - upper)));
            }
        }
    }
    return input;
}

// --------------------------------------------------------------------------------------------- metadata

struct Rules {
    std::vector<float> least;  // score of what is shown, by class
    double candidate_score;    // above which candidates suppress and vote
    size_t pre_nms;
    double nms_iou, vote_iou, support;
    size_t max_detections;
};

struct Contract {
    std::vector<std::string> classes;
    Letterbox letterbox;
    Rules rules;
};

// Returns the metadata of a file, JSON by key; what other tools wrote under keys of their own stays text.
std::map<std::string, Json> metadata(const Ort::Session& session) {
    std::map<std::string, Json> values;
    Ort::AllocatorWithDefaultOptions memory;
    const Ort::ModelMetadata found = session.GetModelMetadata();
    for (const auto& key : found.GetCustomMetadataMapKeysAllocated(memory)) {
        const std::string text = found.LookupCustomMetadataMapAllocated(key.get(), memory).get();
        const Json value = Json::parse(text, nullptr, false);
        values[key.get()] = value.is_discarded() ? Json(text) : value;
    }
    return values;
}

// Returns a setting of the training, `section.key: JSON` a line of `config`, or null.
Json setting(const std::map<std::string, Json>& values, const std::string& key) {
    const auto config = values.find("config");
    const bool is_there = config != values.end() && config->second.is_string();
    std::istringstream lines(is_there ? config->second.get<std::string>() : "");
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind(key + ": ", 0) == 0) {
            const Json value = Json::parse(line.substr(key.size() + 2), nullptr, false);
            return value.is_discarded() ? Json() : value;
        }
    }
    return {};
}

// Returns the least score of each class: as said, else as the settings say, else as learned.
std::vector<float> least_scores(const std::map<std::string, Json>& values,
                                const std::vector<std::string>& classes, std::optional<double> said) {
    const Json chosen = said ? Json(*said) : setting(values, "predict.score_threshold");
    if (chosen.is_number()) return std::vector<float>(classes.size(), chosen.get<float>());
    const auto learned = values.find("thresholds");
    std::vector<float> least;
    for (const auto& name : classes) {
        Json found = DEFAULT_THRESHOLD;
        for (const Json& known : {learned == values.end() ? Json() : learned->second, chosen}) {
            if (known.is_object()) found = known.value(name, known.value("*", found));
        }
        least.push_back(found.get<float>());
    }
    return least;
}

void check_format(const std::map<std::string, Json>& values, const std::string& path) {
    if (!values.count("format")) {
        throw UserError(path + ": no metadata of export.py: expected the key 'format'");
    }
    const std::string found = values.at("format").is_string() ? values.at("format").get<std::string>() : "";
    const std::string major = found.substr(0, found.find('.'));
    if (major != "quad-detector/1") {
        throw UserError(path + ": metadata: expected format quad-detector/1, found " + first_line(found));
    }
    for (const char* key : {"classes", "input", "letterbox", "score", "nms"}) {
        if (!values.count(key)) {
            throw UserError(path + ": metadata: no " + key + "; export the checkpoint again");
        }
    }
}

Contract read_contract(const std::map<std::string, Json>& values, const std::string& path,
                       std::optional<double> threshold) {
    check_format(values, path);
    try {
        const Json &size = values.at("input").at("size"), &box = values.at("letterbox"),
                   &nms = values.at("nms");
        Contract contract{values.at("classes").get<std::vector<std::string>>(), {}, {}};
        contract.letterbox = {size.at(0), size.at(1), box.at("fill"), true, {}};
        const std::string place = box.at("place");
        if (place != "centre" && place != "right-bottom") throw UserError("letterbox.place is " + place);
        contract.letterbox.is_centred = place == "centre";
        const Json scales = box.value("training_scale", Json());
        if (!scales.is_null()) contract.letterbox.training_scale = scales.get<std::array<double, 3>>();
        contract.rules = {least_scores(values, contract.classes, threshold),
                          values.at("score").at("threshold"),
                          nms.value("candidates", size_t{3000}),
                          nms.at("iou"),
                          nms.value("vote_iou", 1.0),
                          nms.value("support", 0.0),
                          nms.at("max_detections")};
        return contract;
    } catch (const std::exception& error) {
        throw UserError(path + ": metadata: damaged: " + first_line(error.what()) +
                        "; export the checkpoint again");
    }
}

// ---------------------------------------------------------------------------------------------- network

struct Point {
    double x, y;
};
using Quad = std::array<Point, 4>;

struct Found {
    Quad quad;  // px of the network input, later of the image
    float score;
    int label;
};

using Outputs = std::map<std::string, Ort::Value>;  // by name

class Network {
  public:
    Network(const std::string& path, int threads) : env_(ORT_LOGGING_LEVEL_FATAL, "find_quads") {
        Ort::SessionOptions options;
        options.SetGraphOptimizationLevel(ORT_ENABLE_ALL);
        if (threads > 0) options.SetIntraOpNumThreads(threads);
        if (!std::ifstream(path).good()) throw UserError(path + ": no such file");
        try {
            session_ = Ort::Session(env_, path.c_str(), options);
        } catch (const Ort::Exception& error) {
            throw UserError(path + ": no model that ONNX Runtime reads: " + first_line(error.what()));
        }
    }

    const Ort::Session& session() const { return session_; }

    // Sets the sides of the input to those that the file insists on.
    void fix_size(Letterbox& box, const std::string& path) const {
        const Ort::TypeInfo type = session_.GetInputTypeInfo(0);  // which owns what `info` shows
        const auto info = type.GetTensorTypeAndShapeInfo();
        const auto shape = info.GetShape();
        if (session_.GetInputCount() != 1 || shape.size() != 4 || shape[1] != 3 || shape[0] > 1 ||
            info.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
            throw UserError(path + ": expected one input (1, 3, H, W) of float32");
        }
        if (shape[2] > 0) box.height = static_cast<int>(shape[2]);
        if (shape[3] > 0) box.width = static_cast<int>(shape[3]);
    }

    // Returns the outputs for one input, by name.
    Outputs run(const Image& image) {
        const size_t area = static_cast<size_t>(image.height) * image.width;
        std::vector<float> planes(3 * area);
        for (size_t k = 0; k < planes.size(); ++k) planes[k % 3 * area + k / 3] = image.pixels[k];
        const std::array<int64_t, 4> shape{1, 3, image.height, image.width};
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        const auto input =
            Ort::Value::CreateTensor<float>(memory, planes.data(), planes.size(), shape.data(), shape.size());
        std::vector<const char*> names;
        const std::string input_name = session_.GetInputNameAllocated(0, allocator_).get();
        const char* input_names[] = {input_name.c_str()};
        std::vector<std::string> output_names;
        for (size_t k = 0; k < session_.GetOutputCount(); ++k) {
            output_names.emplace_back(session_.GetOutputNameAllocated(k, allocator_).get());
        }
        for (const auto& name : output_names) names.push_back(name.c_str());
        auto values =
            session_.Run(Ort::RunOptions{nullptr}, input_names, &input, 1, names.data(), names.size());
        Outputs outputs;
        for (size_t k = 0; k < values.size(); ++k) outputs.emplace(output_names[k], std::move(values[k]));
        return outputs;
    }

  private:
    Ort::Env env_;
    Ort::AllocatorWithDefaultOptions allocator_;
    Ort::Session session_{nullptr};
};

// Returns the candidates that matter, in their order: with `count` those that suppression has kept.
std::vector<Found> candidates(const Outputs& outputs, const Rules& rules, int classes) {
    const float* quads = outputs.at("quads").GetTensorData<float>();
    const float* scores = outputs.at("scores").GetTensorData<float>();
    const auto labels = outputs.find("labels");
    const auto count = outputs.find("count");
    const bool has_labels = labels != outputs.end();
    const int64_t all = outputs.at("quads").GetTensorTypeAndShapeInfo().GetShape().at(1);
    const int64_t rows = count == outputs.end() ? all : count->second.GetTensorData<int32_t>()[0];
    std::vector<Found> found;
    for (int64_t row = 0; row < rows; ++row) {
        const float* own = scores + row * (has_labels ? 1 : classes);
        // of the scores of every class the best: people want one answer
        const auto best = has_labels ? 0 : std::max_element(own, own + classes) - own;
        const int label = has_labels ? labels->second.GetTensorData<int32_t>()[row] : static_cast<int>(best);
        const float score = own[best];
        const float* xy = quads + 8 * row;
        const bool is_finite = std::all_of(xy, xy + 8, [](float value) { return std::isfinite(value); });
        if (!is_finite || label < 0 || label >= classes) continue;
        if (count == outputs.end() && !(score > static_cast<float>(rules.candidate_score))) continue;
        found.push_back(
            {{Point{xy[0], xy[1]}, {xy[2], xy[3]}, {xy[4], xy[5]}, {xy[6], xy[7]}}, score, label});
    }
    return found;
}

// ------------------------------------------------------------------------------------------ suppression

double cross(const Point& origin, const Point& a, const Point& b) {
    return (a.x - origin.x) * (b.y - origin.y) - (a.y - origin.y) * (b.x - origin.x);
}

// Twice the area of a polygon; above 0 where it runs clockwise on the screen.
template <typename Points>
double doubled_area(const Points& points) {
    double sum = 0;
    for (size_t k = 2; k < points.size(); ++k) sum += cross(points[0], points[k - 1], points[k]);
    return sum;
}

// Returns the IoU of two convex quads, 0 without an area: one is cut by the sides of the other.
double iou(const Quad& one, const Quad& other) {
    const double turn = doubled_area(other) < 0 ? -1 : 1;
    std::vector<Point> inside(one.begin(), one.end());
    for (size_t side = 0; side < 4 && !inside.empty(); ++side) {
        const Point &from = other[side], &to = other[(side + 1) % 4];
        std::vector<Point> left;
        for (size_t k = 0; k < inside.size(); ++k) {
            const Point &a = inside[k], &b = inside[(k + 1) % inside.size()];
            const double depth_a = turn * cross(from, to, a), depth_b = turn * cross(from, to, b);
            if (depth_a >= 0) left.push_back(a);
            if ((depth_a < 0) != (depth_b < 0)) {
                const double share = depth_a / (depth_a - depth_b);
                left.push_back({a.x + share * (b.x - a.x), a.y + share * (b.y - a.y)});
            }
        }
        inside = std::move(left);
    }
    const double shared = std::abs(doubled_area(inside));
    const double joined = std::abs(doubled_area(one)) + std::abs(doubled_area(other)) - shared;
    return joined > 0 ? shared / joined : 0;
}

struct Bounds {
    double left, top, right, bottom;
};

Bounds bounds(const Quad& quad) {
    const auto [left, right] =
        std::minmax_element(quad.begin(), quad.end(), [](auto& a, auto& b) { return a.x < b.x; });
    const auto [top, bottom] =
        std::minmax_element(quad.begin(), quad.end(), [](auto& a, auto& b) { return a.y < b.y; });
    return {left->x, top->y, right->x, bottom->y};
}

bool meet(const Bounds& a, const Bounds& b) {
    return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

std::vector<size_t> best_first(const std::vector<Found>& found) {
    std::vector<size_t> order(found.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return found[a].score > found[b].score; });
    return order;
}

struct Groups {
    std::vector<size_t> kept;    // rows, highest score first
    std::vector<size_t> owners;  // the best row that removes each, itself where none does
};

// Greedy NMS, class by class: the best quad stays and removes what overlaps it by more than a threshold.
Groups suppress(const std::vector<Found>& found, double threshold, size_t limit) {
    std::vector<Bounds> boxes;
    for (const auto& one : found) boxes.push_back(bounds(one.quad));
    Groups groups{{}, std::vector<size_t>(found.size())};
    std::map<int, std::vector<size_t>> staying;
    for (const size_t row : best_first(found)) {
        auto& better = staying[found[row].label];
        const auto owner = std::find_if(better.begin(), better.end(), [&](size_t other) {
            return meet(boxes[row], boxes[other]) && iou(found[row].quad, found[other].quad) > threshold;
        });
        groups.owners[row] = owner == better.end() ? row : *owner;
        if (owner != better.end()) continue;
        better.push_back(row);
        groups.kept.push_back(row);
    }
    groups.kept.resize(std::min(groups.kept.size(), limit));
    return groups;
}

bool is_convex(const Quad& quad) {
    int turns = 0, others = 0;
    for (size_t k = 0; k < 4; ++k) {
        const double turn = cross(quad[k], quad[(k + 1) % 4], quad[(k + 2) % 4]);
        turns += turn > 0;
        others += turn < 0;
    }
    return turns == 0 || others == 0;
}

// Returns a voter's quad with its vertices in the rotation that is nearest to those of a leader.
Quad rotated_to(const Quad& quad, const Quad& leader) {
    Quad best = quad;
    double least = INFINITY;
    for (size_t shift = 0; shift < 4; ++shift) {
        Quad turned;
        double moved = 0;
        for (size_t k = 0; k < 4; ++k) {
            turned[k] = quad[(k + shift) % 4];
            moved += std::pow(turned[k].x - leader[k].x, 2) + std::pow(turned[k].y - leader[k].y, 2);
        }
        if (moved < least) least = moved, best = turned;
    }
    return best;
}

// Box voting: what suppression removes moves the quads that stay, weighted by the squares of the scores, and
// may raise their scores.
std::vector<Found> vote(const std::vector<Found>& found, const Groups& groups, const Rules& rules) {
    std::map<size_t, std::vector<size_t>> removed;
    for (size_t row = 0; row < found.size(); ++row) {
        if (groups.owners[row] != row) removed[groups.owners[row]].push_back(row);
    }
    std::vector<Found> voted;
    for (const size_t leader : groups.kept) {
        const Found& own = found[leader];
        double total = std::pow(static_cast<double>(own.score), 2), support = 0;
        std::array<double, 8> moves{};
        for (const size_t row : removed[leader]) {
            const double shared = iou(found[row].quad, own.quad);
            if (shared <= rules.vote_iou) continue;
            const double score = found[row].score;
            const Quad turned = rotated_to(found[row].quad, own.quad);
            for (size_t k = 0; k < 4; ++k) {
                moves[2 * k] += score * score * (turned[k].x - own.quad[k].x);
                moves[2 * k + 1] += score * score * (turned[k].y - own.quad[k].y);
            }
            total += score * score;
            support += rules.support * score * shared;
        }
        Quad mean = own.quad;
        for (size_t k = 0; k < 4 && total > 0; ++k) {
            mean[k] = {mean[k].x + moves[2 * k] / total, mean[k].y + moves[2 * k + 1] / total};
        }
        const double raised = support > 0 ? -std::expm1(std::log1p(-own.score) * (1 + support)) : own.score;
        voted.push_back({is_convex(mean) ? mean : own.quad, static_cast<float>(raised), own.label});
    }
    return voted;
}

std::vector<Found> in_order(const std::vector<Found>& found, const std::vector<size_t>& rows) {
    std::vector<Found> chosen;
    for (const size_t row : rows) chosen.push_back(found[row]);
    return chosen;
}

// Returns what is shown of the candidates, in pixels of the image, highest score first.
std::vector<Found> detections(std::vector<Found> found, const Fit& fit, const Rules& rules,
                              bool is_suppressed) {
    if (!is_suppressed && found.size() > rules.pre_nms) {
        auto rows = best_first(found);
        rows.resize(rules.pre_nms);
        std::sort(rows.begin(), rows.end());
        found = in_order(found, rows);
    }
    for (auto& one : found) {
        for (auto& [x, y] : one.quad) {
            x = static_cast<float>((x - fit.left) / fit.scale);
            y = static_cast<float>((y - fit.top) / fit.scale);
        }
    }
    if (!is_suppressed) {
        const Groups groups = suppress(found, rules.nms_iou, rules.max_detections);
        found = rules.vote_iou < 1 ? vote(found, groups, rules) : in_order(found, groups.kept);
        found = in_order(found, best_first(found));
    }
    const auto is_hidden = [&](const Found& one) { return one.score < rules.least[one.label]; };
    found.erase(std::remove_if(found.begin(), found.end(), is_hidden), found.end());
    return found;
}

// ---------------------------------------------------------------------------------------------- outputs

std::string dota_text(const std::vector<Found>& found, const std::vector<std::string>& classes) {
    std::string text;
    for (const auto& one : found) {
        char number[64];
        for (const auto& [x, y] : one.quad) {
            std::snprintf(number, sizeof number, "%.2f %.2f ", static_cast<float>(x), static_cast<float>(y));
            text += number;
        }
        std::string word;  // a class name as one word
        std::istringstream parts(classes[one.label]);
        for (std::string part; parts >> part;) word += (word.empty() ? "" : "-") + part;
        std::snprintf(number, sizeof number, " %.4f\n", one.score);
        text += word + number;
    }
    return text;
}

// The colours of utils/palette.py, told apart with every kind of colour vision.
std::array<uint8_t, 3> class_colour(int label) {
    constexpr std::array<uint8_t, 3> COLOURS[] = {
        {230, 159, 0},  {86, 180, 233},  {0, 158, 115},   {240, 228, 66}, {0, 114, 178},
        {213, 94, 0},   {204, 121, 167}, {135, 60, 255},  {0, 255, 0},    {255, 165, 150},
        {255, 15, 60},  {150, 150, 0},   {210, 180, 255}, {0, 255, 195},  {150, 195, 120},
        {45, 195, 195}, {120, 135, 255}, {255, 0, 255},   {60, 135, 0},   {210, 15, 120},
    };
    // of every further twenty classes: part of the way to black (below 0) or to white
    constexpr double SHADES[] = {0, -0.5, 0.5, -0.7, 0.75};
    const double shade = SHADES[label / std::size(COLOURS) % std::size(SHADES)];
    auto colour = COLOURS[label % std::size(COLOURS)];
    for (auto& part : colour) {
        const double end = shade > 0 ? 255 : 0;
        part = static_cast<uint8_t>(std::nearbyint(part + (end - part) * std::abs(shade)));
    }
    return colour;
}

// Returns the part of a line between two points that can be seen, as shares of its length.
std::optional<std::array<double, 2>> visible_part(const Point& a, const Point& b, const Image& image) {
    double begin = 0, end = 1;
    const double steps[] = {a.x - b.x, b.x - a.x, a.y - b.y, b.y - a.y};
    const double rooms[] = {a.x, image.width - a.x, a.y, image.height - a.y};
    for (int side = 0; side < 4; ++side) {
        if (steps[side] == 0 && rooms[side] < 0) return {};
        if (steps[side] < 0) begin = std::max(begin, rooms[side] / steps[side]);
        if (steps[side] > 0) end = std::min(end, rooms[side] / steps[side]);
    }
    if (begin > end) return {};
    return {{begin, end}};
}

void draw_line(Image& image, const Point& a, const Point& b, const std::array<uint8_t, 3>& colour,
               int thickness) {
    const auto part = visible_part(a, b, image);
    if (!part) return;
    const auto [begin, end] = *part;
    const int steps =
        1 + static_cast<int>(2 * (end - begin) * std::max(std::abs(b.x - a.x), std::abs(b.y - a.y)));
    for (int k = 0; k <= steps; ++k) {
        const double share = begin + (end - begin) * k / steps;
        const int left = static_cast<int>(std::floor(a.x + share * (b.x - a.x)));
        const int top = static_cast<int>(std::floor(a.y + share * (b.y - a.y)));
        for (int y = std::max(top, 0); y < std::min(top + thickness, image.height); ++y) {
            for (int x = std::max(left, 0); x < std::min(left + thickness, image.width); ++x) {
                std::copy_n(colour.data(), 3, image.at(y, x));
            }
        }
    }
}

// The best ones are drawn last, over the others.
void draw(Image& image, const std::vector<Found>& found) {
    const int thickness = std::max(image.height, image.width) > LARGE ? 2 : 1;
    for (auto one = found.rbegin(); one != found.rend(); ++one) {
        for (size_t k = 0; k < 4; ++k) {
            draw_line(image, one->quad[k], one->quad[(k + 1) % 4], class_colour(one->label), thickness);
        }
    }
}

// --------------------------------------------------------------------------------------------- command

struct Job {
    std::string model, image;
    std::map<std::string, std::string> options;

    std::string option(const std::string& name) const {
        const auto found = options.find(name);
        return found == options.end() ? "" : found->second;
    }
};

Job read_words(const std::vector<std::string>& words) {
    Job job;
    if (words.size() < 2) throw UserError("expected a model and an image; find_quads --help says more");
    job.model = words[0];
    job.image = words[1];
    for (size_t k = 2; k < words.size(); ++k) {
        const size_t equals = words[k].find('=');
        const std::string key = words[k].substr(0, equals);
        const std::array<const char*, 5> known{"text", "picture", "threshold", "threads", "input"};
        const bool is_known = std::find(known.begin(), known.end(), key) != known.end();
        if (!is_known || equals == std::string::npos || equals + 1 == words[k].size()) {
            throw UserError(words[k] +
                            ": expected text=, picture=, threshold=, threads= or input= and a value");
        }
        job.options[key] = words[k].substr(equals + 1);
    }
    for (const char* key : {"picture", "input"}) {
        const std::string path = job.option(key);
        if (!path.empty() && (path.size() < 5 || path.substr(path.size() - 4) != ".png")) {
            throw UserError(std::string(key) + "=" + path + ": expected a name that ends in .png");
        }
    }
    return job;
}

// Returns the number that an option has, or nothing where it is not given.
std::optional<double> number(const Job& job, const std::string& key, double lowest, double highest) {
    const std::string text = job.option(key);
    if (text.empty()) return {};
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (*end != '\0' || !(value >= lowest && value <= highest)) {
        std::ostringstream line;
        line << key << "=" << text << ": expected a number from " << lowest << " to " << highest;
        throw UserError(line.str());
    }
    return value;
}

void run(const Job& job) {
    const auto threshold = number(job, "threshold", 0, 1);
    const int threads = static_cast<int>(number(job, "threads", 1, 1024).value_or(0));
    if (!OrtGetApiBase()->GetApi(ORT_API_VERSION)) {
        throw UserError(std::string("ONNX Runtime ") + OrtGetApiBase()->GetVersionString() +
                        " is older than the headers that this program was built with");
    }
    Network network(job.model, threads);
    Contract contract = read_contract(metadata(network.session()), job.model, threshold);
    network.fix_size(contract.letterbox, job.model);
    Image image = read_image(job.image);
    const Fit place = fit(image, contract.letterbox, job.image);
    const Image input = letterboxed(image, place, contract.letterbox);
    if (!job.option("input").empty()) write_png(job.option("input"), input);
    const auto outputs = network.run(input);
    auto found = candidates(outputs, contract.rules, static_cast<int>(contract.classes.size()));
    found = detections(std::move(found), place, contract.rules, outputs.count("count") > 0);
    if (!job.option("picture").empty()) {
        draw(image, found);
        write_png(job.option("picture"), image);
    }
    const std::string text = dota_text(found, contract.classes);
    if (job.option("text").empty()) {
        std::cout << text << std::flush;
    } else {
        replace(job.option("text"), [&](const std::string& draft) {
            return static_cast<bool>(std::ofstream(draft, std::ios::binary) << text << std::flush);
        });
    }
}

}  // namespace

int main(int count, char** words) {
    const std::vector<std::string> given(words + 1, words + count);
    if (std::find(given.begin(), given.end(), "--help") != given.end()) {
        std::cout << USAGE;
        return 0;
    }
    try {
        run(read_words(given));
    } catch (const UserError& error) {
        std::cerr << error.what() << "\n";
        return FAULT;
    } catch (const Ort::Exception& error) {
        std::cerr << given[0] << ": cannot be run: " << first_line(error.what()) << "\n";
        return FAULT;
    } catch (const std::bad_alloc&) {
        std::cerr << given[1] << ": too large for the memory\n";
        return FAULT;
    }
    return 0;
}
