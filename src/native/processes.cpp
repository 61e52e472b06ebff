// A process group of libtorch's c10d behind a C interface: a store in which processes find each other, and sums over all of
// them. A function returns null, or what went wrong as a string that the caller frees; no exception leaves this file.

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <ATen/ATen.h>

using std::chrono::milliseconds;

struct Group {
  c10::intrusive_ptr<c10d::Store> store;
  // It copies tensors of a GPU to the host and back.
  c10::intrusive_ptr<c10d::Backend> gloo;
  int rank, count;
};

namespace {
// As PyTorch's DistributedDataParallel: large enough for the bandwidth, small enough that several are under way at once.
constexpr int64_t BUCKET_BYTES = 25 << 20;

template <class Work>
char* guarded(Work work) {
  try {
    work();
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

std::string key(const char* what, int rank) {
  return std::string(what) + "/" + std::to_string(rank);
}

// Waits for all processes; names those that do not come.
void meet(Group* group, milliseconds timeout) {
  std::vector<std::string> keys;
  for (int rank = 0; rank < group->count; rank++) keys.push_back(key("here", rank));
  group->store->set(keys[group->rank], std::vector<uint8_t>{1});
  try {
    group->store->wait(keys, timeout);
  } catch (const std::exception&) {
    std::string missing;
    for (int rank = 0; rank < group->count; rank++) {
      if (!group->store->check({keys[rank]})) missing += (missing.empty() ? "" : ", ") + std::to_string(rank);
    }
    throw std::runtime_error("no sign of rank " + missing + " within " + std::to_string(timeout.count() / 1000) + " s");
  }
}

// A stretch of tensors that are summed as one, and the sum under way.
struct Bucket {
  std::vector<at::Tensor> tensors;
  std::vector<at::Tensor> flat;
  c10::intrusive_ptr<c10d::Work> work;

  void start(Group* group) {
    std::vector<at::Tensor> rows;
    for (auto& tensor : tensors) rows.push_back(tensor.reshape({-1}));
    flat = {at::cat(rows)};
    work = group->gloo->allreduce(flat);
  }

  void finish() {
    work->wait();
    int64_t start = 0;
    for (auto& tensor : tensors) {
      tensor.copy_(flat[0].narrow(0, start, tensor.numel()).view(tensor.sizes()));
      start += tensor.numel();
    }
  }
};
} // namespace

extern "C" {
// `hosts` if this process serves the store, which processes of the same `prefix` share.
char* topfive_group_create(const char* address, int port, bool hosts, const char* prefix, int rank, int count,
                           int64_t timeout, Group** created) {
  return guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(port);
    options.isServer = hosts;
    options.waitWorkers = false;
    options.timeout = milliseconds(timeout);
    auto tcp = c10::make_intrusive<c10d::TCPStore>(address, options);
    auto group = std::make_unique<Group>();
    group->store = c10::make_intrusive<c10d::PrefixStore>(prefix, tcp);
    group->rank = rank;
    group->count = count;
    meet(group.get(), options.timeout);
    group->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(
        group->store, rank, count, c10d::ProcessGroupGloo::Options::create_default(options.timeout));
    *created = group.release();
  });
}

void topfive_group_destroy(Group* group) {
  free(guarded([&] { delete group; }));
}

// Sums each tensor over all processes, in place. They are of one kind, on one device.
char* topfive_group_sum(Group* group, at::Tensor** tensors, int64_t count) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<Bucket> buckets;
    size_t bytes = 0;
    for (int64_t index = 0; index < count; index++) {
      if (buckets.empty() || bytes + tensors[index]->nbytes() > BUCKET_BYTES) {
        if (!buckets.empty()) buckets.back().start(group);
        buckets.emplace_back();
        bytes = 0;
      }
      buckets.back().tensors.push_back(*tensors[index]);
      bytes += tensors[index]->nbytes();
    }
    if (!buckets.empty()) buckets.back().start(group);
    for (auto& bucket : buckets) bucket.finish();
  });
}

// Gives each tensor the values of the first process.
char* topfive_group_broadcast(Group* group, at::Tensor** tensors, int64_t count) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    for (int64_t index = 0; index < count; index++) {
      std::vector<at::Tensor> values{tensors[index]->contiguous()};
      group->gloo->broadcast(values)->wait();
      if (group->rank > 0) tensors[index]->copy_(values[0]);
    }
  });
}

// Counts one more sign of life of this process.
char* topfive_group_beat(Group* group) {
  return guarded([&] { group->store->add(key("beat", group->rank), 1); });
}

// The signs of life of each process so far.
char* topfive_group_beats(Group* group, int64_t* beats) {
  return guarded([&] {
    for (int rank = 0; rank < group->count; rank++) beats[rank] = group->store->add(key("beat", rank), 0);
  });
}
}
