// Stands in for Gloo's own headers, which libtorch's packages lack although ProcessGroupGloo.hpp includes them: what that
// header names, as far as this program needs it. libtorch_cpu contains the definitions.
#pragma once
#include <chrono>
#include <string>
#include <vector>

namespace gloo {
struct Context {
  void setTimeout(std::chrono::milliseconds timeout);
};
namespace transport {
class Device;
struct UnboundBuffer {
  virtual ~UnboundBuffer();
};
} // namespace transport
namespace rendezvous {
struct Store {
  virtual ~Store();
  virtual void set(const std::string& key, const std::vector<char>& value) = 0;
  virtual std::vector<char> get(const std::string& key) = 0;
  virtual void wait(const std::vector<std::string>& keys) = 0;
  virtual void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& timeout) = 0;
};
} // namespace rendezvous
} // namespace gloo
