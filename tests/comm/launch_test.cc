#include "comm/launch.h"

#include <gtest/gtest.h>

#include <map>
#include <stdexcept>

#include "tests/support/error_of.h"

namespace fastclip {
namespace {

Launch Read(const std::map<std::string, std::string>& variables) {
  return ReadLaunch([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

std::string Refusal(const std::map<std::string, std::string>& variables) {
  return ErrorOf<std::runtime_error>([&] { Read(variables); });
}

TEST(Launch, IsAWorldOfOneWhereNobodySaysOtherwise) {
  const Launch launch = Read({{"PATH", "/bin"}, {"MASTER_PORT", "1"}});
  EXPECT_EQ(launch.world_size, 1);
  EXPECT_EQ(launch.launcher, "");
}

TEST(Launch, ReadsTorchrun) {
  const Launch launch = Read({{"RANK", "5"},
                              {"WORLD_SIZE", "8"},
                              {"LOCAL_RANK", "1"},
                              {"LOCAL_WORLD_SIZE", "4"},
                              {"MASTER_ADDR", "node1"},
                              {"MASTER_PORT", "1234"},
                              {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                              {"FASTCLIP_STORE_FD", "7"}});
  EXPECT_EQ(launch.launcher, "torchrun");
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.world_size, 8);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.local_world_size, 4);
  EXPECT_EQ(launch.store_host, "node1");
  EXPECT_EQ(launch.store_port, 1234);
  EXPECT_TRUE(launch.store_is_served);
  EXPECT_EQ(launch.store_fd, -1) << "of rank 0 alone";
}

TEST(Launch, ReadsOpenMpiOnOneHost) {
  const Launch launch = Read({{"OMPI_COMM_WORLD_RANK", "1"},
                              {"OMPI_COMM_WORLD_SIZE", "2"},
                              {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                              {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  EXPECT_EQ(launch.launcher, "Open MPI");
  EXPECT_EQ(launch.store_host, "127.0.0.1");
  EXPECT_EQ(launch.store_port, 29500);
  EXPECT_FALSE(launch.store_is_served);
}

TEST(Launch, AsksForTheHostOfRank0WhereRanksAreOnSeveral) {
  const std::string error = Refusal({{"OMPI_COMM_WORLD_RANK", "1"},
                                     {"OMPI_COMM_WORLD_SIZE", "4"},
                                     {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}});
  EXPECT_NE(error.find("set MASTER_ADDR"), std::string::npos) << error;
}

TEST(Launch, ReadsMpich) {
  const Launch launch = Read(
      {{"PMI_RANK", "3"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "3"}, {"MPI_LOCALNRANKS", "4"}});
  EXPECT_EQ(launch.launcher, "MPICH");
  EXPECT_EQ(launch.local_rank, 3);
  EXPECT_EQ(launch.local_world_size, 4);
}

TEST(Launch, ReadsASlurmStep) {
  const Launch launch = Read({{"SLURM_PROCID", "6"},
                              {"SLURM_STEP_NUM_TASKS", "7"},
                              {"SLURM_LOCALID", "0"},
                              {"SLURM_NODEID", "3"},
                              {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1"},
                              {"SLURM_STEP_NODELIST", "gpu[003-005,009]"},
                              {"SLURM_JOB_ID", "1230042"}});
  EXPECT_EQ(launch.launcher, "SLURM");
  EXPECT_EQ(launch.rank, 6);
  EXPECT_EQ(launch.local_world_size, 1);
  EXPECT_EQ(launch.store_host, "gpu003");
  EXPECT_EQ(launch.store_port, 20042);
}

TEST(Launch, TakesAStepOfSlurmWithPmi2ForSlurm) {
  const Launch launch = Read({{"SLURM_PROCID", "1"},
                              {"SLURM_STEP_NUM_TASKS", "2"},
                              {"SLURM_LOCALID", "1"},
                              {"SLURM_STEP_TASKS_PER_NODE", "2"},
                              {"PMI_RANK", "1"},
                              {"PMI_SIZE", "2"}});
  EXPECT_EQ(launch.launcher, "SLURM");
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.local_world_size, 2);
}

TEST(Launch, TakesABatchScriptOfSlurmForAWorldOfOne) {
  EXPECT_EQ(Read({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "16"}}).world_size, 1);
}

TEST(Launch, PrefersTorchrunInsideASlurmStep) {
  const Launch launch = Read({{"SLURM_PROCID", "0"},
                              {"SLURM_STEP_NUM_TASKS", "2"},
                              {"RANK", "3"},
                              {"WORLD_SIZE", "8"},
                              {"MASTER_ADDR", "a"}});
  EXPECT_EQ(launch.launcher, "torchrun");
  EXPECT_EQ(launch.world_size, 8);
}

TEST(Launch, NamesAVariableThatCannotBe) {
  EXPECT_NE(Refusal({{"RANK", "4"}, {"WORLD_SIZE", "4"}})
                .find("RANK = '4' is not an integer from 0 to 3"),
            std::string::npos);
  EXPECT_NE(Refusal({{"RANK", "x"}, {"WORLD_SIZE", "4"}}).find("RANK = 'x'"), std::string::npos);
  EXPECT_NE(
      Refusal({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "0"}})
          .find("MASTER_PORT = '0'"),
      std::string::npos);
}

TEST(FirstHost, UnfoldsSlurmsLists) {
  EXPECT_EQ(FirstHost("gpu1"), "gpu1");
  EXPECT_EQ(FirstHost("gpu1,gpu2"), "gpu1");
  EXPECT_EQ(FirstHost("gpu[003-008,012],big1"), "gpu003");
  EXPECT_EQ(FirstHost("big1,gpu[003-008]"), "big1");
  EXPECT_EQ(FirstHost("rack[1,3]-node"), "rack1-node");
}

}  // namespace
}  // namespace fastclip
