#pragma once

namespace fastclip {

/// The cores of a host and the ranks that share them.
struct CoreShare {
  int cores = 1;
  int ranks = 1;        ///< on this host
  bool on_gpu = false;  ///< the model runs on a GPU
  int model = 0;        ///< train.threads, if not 0
  int decoders = 0;     ///< pipeline.threads, if not 0
};

/// Threads of one rank.
struct RankThreads {
  int model = 1;     ///< OpenMP threads of LibTorch
  int decoders = 1;  ///< threads that decode and tokenize
};

/// The threads that are not given, from the rank's share of the cores.
///
/// On the CPU the model gets the whole share. Decoding takes a small part of a step, and its
/// threads mostly wait: a quarter of the share, or what a smaller number of train.threads leaves.
/// On a GPU decoding gets the share but for one core for the thread that feeds the GPU and, with
/// several ranks on the host, one for the threads of NCCL and Gloo. The model then needs the CPU
/// for little: a quarter of the share, at most 4.
RankThreads ShareCores(const CoreShare& share);

/// Cores that this process may run on.
int UsableCores();

/// Ranks that share the cores that this process may run on: one, if the `ranks` of a host that has
/// `online` cores can have had `allowed` of their own each, as srun and mpirun bind them.
int RanksOnCores(int allowed, int online, int ranks);

}  // namespace fastclip
