#include "tokenizer/sentencepiece_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <vector>

namespace fastclip {
namespace {

// Far above what is published (256,000): each piece costs the library some hundred bytes.
constexpr int kMostPieces = 1 << 20;

// Fields of sentencepiece_model.proto.
enum ModelField { kPieces = 1, kTrainer = 2, kNormalizer = 3, kDenormalizer = 5 };
enum PieceField { kPieceText = 1, kScore = 2, kType = 3 };
constexpr int kModelType = 3;  // of the trainer: 1 to 4
constexpr int kCharsmap = 2;   // of a normalizer
constexpr int kLastPieceType = 6;

struct Damaged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The fields of one protobuf message, in order.
class Message {
 public:
  enum Type { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  struct Field {
    int number = 0;
    int type = 0;
    std::uint64_t value = 0;  // of a varint, or the bits of a fixed one
    std::string_view bytes;
  };

  explicit Message(std::string_view bytes) : rest_(bytes) {}

  std::optional<Field> Next() {
    if (rest_.empty()) return std::nullopt;
    const std::uint64_t key = Varint();
    Field field{
        .number = static_cast<int>(key >> 3), .type = static_cast<int>(key & 7), .bytes = {}};
    if (key > UINT32_MAX || field.number == 0) throw Damaged("invalid field number");
    switch (field.type) {
      case kVarint:
        field.value = Varint();
        break;
      case kFixed64:
        field.value = Fixed(8);
        break;
      case kFixed32:
        field.value = Fixed(4);
        break;
      case kBytes:
        field.bytes = Take(Varint());
        break;
      default:
        throw Damaged(fmt::format("unsupported wire type {}", field.type));
    }
    return field;
  }

 private:
  std::uint64_t Varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<std::uint8_t>(Take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw Damaged("varint too long");
  }
  std::uint64_t Fixed(std::size_t size) {
    std::uint64_t value = 0;
    std::memcpy(&value, Take(size).data(), size);
    return value;
  }
  std::string_view Take(std::uint64_t size) {
    if (size > rest_.size()) throw Damaged("truncated within a field");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
};

void Expect(const Message::Field& field, Message::Type type, const char* what) {
  if (field.type != type)
    throw Damaged(fmt::format("{} has the wrong wire type {}", what, field.type));
}

void CheckPiece(std::string_view bytes) {
  Message message(bytes);
  while (const auto field = message.Next()) {
    if (field->number == kPieceText) Expect(*field, Message::kBytes, "a piece");
    if (field->number == kScore) {
      Expect(*field, Message::kFixed32, "a score");
      const auto bits = static_cast<std::uint32_t>(field->value);
      float score = 0;
      std::memcpy(&score, &bits, sizeof score);
      if (!std::isfinite(score)) throw Damaged("a score is not finite");
    }
    if (field->number == kType) {
      Expect(*field, Message::kVarint, "a type");
      if (field->value < 1 || field->value > kLastPieceType) {
        throw Damaged(fmt::format("a piece has the unknown type {}", field->value));
      }
    }
  }
}

/// A node of Darts' double array, 32 bits.
struct Unit {
  std::uint32_t bits;
  bool has_leaf() const { return (bits >> 8 & 1) != 0; }
  std::uint32_t value() const { return bits & 0x7fffffffu; }
  std::uint32_t label() const { return bits & 0x800000ffu; }
  std::uint32_t offset() const { return (bits >> 10) << ((bits & 1u << 9) >> 6); }
};

/// u32 size of the array in bytes, the array, then texts that end with a zero byte each.
void CheckCharsmap(std::string_view blob) {
  if (blob.empty()) return;
  std::uint32_t array_bytes = 0;
  if (blob.size() < sizeof array_bytes) throw Damaged("the normalization table is truncated");
  std::memcpy(&array_bytes, blob.data(), sizeof array_bytes);
  blob.remove_prefix(sizeof array_bytes);
  if (array_bytes == 0 || array_bytes % sizeof(Unit) != 0 || array_bytes >= blob.size()) {
    throw Damaged("the normalization table has an invalid size");
  }
  std::vector<Unit> units(array_bytes / sizeof(Unit));
  std::memcpy(units.data(), blob.data(), array_bytes);
  const std::size_t texts = blob.size() - array_bytes;

  // A state is where the children of a node begin: the child of byte c is units[state ^ c].
  std::vector<bool> seen(units.size());
  std::vector<std::uint32_t> states = {units[0].offset()};
  while (!states.empty()) {
    const std::uint32_t state = states.back();
    states.pop_back();
    if ((state | 0xffu) >= units.size()) {
      throw Damaged("the normalization table points past its end");
    }
    if (seen[state]) continue;
    seen[state] = true;
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const Unit child = units[state ^ byte];
      if (child.label() != byte) continue;
      const std::uint32_t next = state ^ byte ^ child.offset();
      if (next >= units.size() || (child.has_leaf() && units[next].value() >= texts)) {
        throw Damaged("the normalization table points past its end");
      }
      states.push_back(next);
    }
  }
}

void CheckNormalizer(std::string_view bytes) {
  Message message(bytes);
  while (const auto field = message.Next()) {
    if (field->number != kCharsmap) continue;
    Expect(*field, Message::kBytes, "the normalization table");
    CheckCharsmap(field->bytes);
  }
}

void CheckTrainer(std::string_view bytes) {
  Message message(bytes);
  while (const auto field = message.Next()) {
    if (field->number != kModelType) continue;
    Expect(*field, Message::kVarint, "the model's type");
    if (field->value < 1 || field->value > 4) {
      throw Damaged(fmt::format("unknown model type {}", field->value));
    }
  }
}

void CheckModel(std::string_view bytes) {
  Message message(bytes);
  int pieces = 0;
  while (const auto field = message.Next()) {
    switch (field->number) {
      case kPieces:
        Expect(*field, Message::kBytes, "a piece");
        if (++pieces > kMostPieces) {
          throw Damaged(fmt::format("more than {} pieces", kMostPieces));
        }
        CheckPiece(field->bytes);
        break;
      case kTrainer:
        Expect(*field, Message::kBytes, "the trainer section");
        CheckTrainer(field->bytes);
        break;
      case kNormalizer:
      case kDenormalizer:
        Expect(*field, Message::kBytes, "the normalizer section");
        CheckNormalizer(field->bytes);
        break;
      default:
        break;
    }
  }
}

[[noreturn]] void RunAsChild(const std::function<void()>& work, std::chrono::seconds limit,
                             pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  // The library may end the process by exit(): nothing of the parent's is to be torn down.
  std::atexit([] { _exit(255); });
  const rlimit none{};
  setrlimit(RLIMIT_CORE, &none);
  const int nowhere = open("/dev/null", O_RDWR);
  dup2(nowhere, STDOUT_FILENO);
  dup2(nowhere, STDERR_FILENO);
  signal(SIGALRM, SIG_DFL);
  sigset_t alarm_only;
  sigemptyset(&alarm_only);
  sigaddset(&alarm_only, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &alarm_only, nullptr);
  alarm(static_cast<unsigned>(limit.count()));
  try {
    work();
  } catch (...) {  // no crash: whoever does it again meets the same
  }
  _exit(0);
}

}  // namespace

std::string FaultOfSentencePiece(std::string_view model) {
  try {
    CheckModel(model);
    return "";
  } catch (const Damaged& fault) {
    return fault.what();
  }
}

std::string CrashOf(const std::function<void()>& work, std::chrono::seconds limit) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) {
    throw std::runtime_error(fmt::format("cannot start a child process: {}", std::strerror(errno)));
  }
  if (child == 0) RunAsChild(work, limit, parent);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) {
      throw std::runtime_error(
          fmt::format("cannot wait for the child process: {}", std::strerror(errno)));
    }
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  if (WIFEXITED(status)) return fmt::format("exited with code {}", WEXITSTATUS(status));
  const int number = WTERMSIG(status);
  if (number == SIGALRM) return fmt::format("did not finish in {} s", limit.count());
  return fmt::format("crashed (signal {}, {})", number, strsignal(number));
}

}  // namespace fastclip
