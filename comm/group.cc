#include "comm/group.h"

#include "comm/c10d_communicator.h"
#include "comm/comm_error.h"
#include "comm/descriptors.h"
#include "comm/exchange.h"
#include "comm/interfaces.h"
#include "comm/rendezvous.h"

namespace fastclip {
Group::Group(const Launch& launch, const GroupOptions& options,
             const std::function<void(const std::string&)>& say,
             std::function<void(const std::string&)> on_failure) {
  // On rank 0 before the others come, whose connections it may not take.
  if (launch.rank == 0) CheckDescriptors(launch, DescriptorLimit());
  if (launch.world_size == 1) {
    comm_ = WorldOfOne();
    return;
  }
  store_ = OpenTcpStore(launch, options.join_timeout);
  const std::string nonce =
      JoinRanks(*store_, launch.rank, launch.world_size, options.join_timeout, say);
  watch_ = std::make_unique<Watch>(store_->Clone(), nonce, launch.rank, launch.world_size,
                                   HostName(), std::move(on_failure));
  try {
    if (launch.rank != 0) CheckDescriptors(launch, DescriptorLimit());
    CheckInterfaces();
    const std::optional<OwnGpu> gpu = options.open_device();
    comm_ = ConnectRanks(*store_, {.prefix = nonce,
                                   .rank = launch.rank,
                                   .world_size = launch.world_size,
                                   .timeout = options.timeout,
                                   .cuda_device = gpu ? std::optional(gpu->index) : std::nullopt,
                                   .gpu_pci = gpu ? gpu->pci : "",
                                   .watch = watch_.get()});
  } catch (const CommError& error) {
    throw CommError(watch_->Fail(error.what(), /*of_others=*/true));
  } catch (const SharedError& error) {
    watch_->Fail(error.what(), /*of_others=*/error.rank() != launch.rank);
    throw;
  } catch (const std::exception& error) {
    watch_->Fail(ErrorText(error), /*of_others=*/false);
    throw;
  }
}

Group::~Group() = default;

std::string Group::Fail(const std::string& error, bool of_others) {
  return watch_ ? watch_->Fail(error, of_others) : error;
}

void Group::Leave() {
  if (watch_) watch_->Retire();
  comm_->Barrier();
  comm_->Shutdown();
}

}  // namespace fastclip
