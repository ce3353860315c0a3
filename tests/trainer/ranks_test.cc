#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include "pipeline/records/record.h"
#include "tests/pipeline/shard_files.h"
#include "tests/support/fake_source.h"
#include "tests/trainer/ranks_fixture.h"

namespace fastclip {
namespace {

TEST_F(Ranks, TrainAsOneDoesAndEvaluateTogether) {
  const std::vector<std::string> words = {"data.val=synthetic:37", "eval.every_epochs=4"};
  ASSERT_EQ(Run(Words("one", 1, words)), 0) << errors_;
  ASSERT_EQ(Run(Words("three", 3, words)), 0) << errors_;
  EXPECT_NE(errors_.find("3 ranks, 8 to 12 rows of a batch each; each step waits for the "
                         "largest, so the ranks idle 11% of the time"),
            std::string::npos)
      << errors_;
  ExpectClose(Read("three", 20, "model.safetensors"), Read("one", 20, "model.safetensors"), 1e-8);
  ExpectSameState(State("three", 20), State("one", 20));
  auto one = Metrics("one"), three = Metrics("three");
  ASSERT_EQ(one.size(), three.size());
  EXPECT_NEAR(one.back()["clip_val_loss"], three.back()["clip_val_loss"], 1e-6);
  for (auto* line : {&one.back(), &three.back()}) line->erase("clip_val_loss");
  EXPECT_EQ(one.back(), three.back()) << "the retrieval line";
  for (std::size_t i = 0; i + 1 < one.size(); ++i) {
    EXPECT_NEAR(one[i].at("loss").get<double>(), three[i].at("loss").get<double>(), 1e-9);
    EXPECT_EQ(one[i].at("skips"), three[i].at("skips"));
    EXPECT_EQ(one[i].at("gathered_bytes"), 0);
  }
}

TEST_F(Ranks, AccumulateAndLockTowersAsOneDoes) {
  const std::vector<std::string> words = {"train.micro_batches=2", "model.lock_image=true",
                                          "model.lock_image_unlocked_groups=1",
                                          "train.grad_checkpointing=true"};
  ASSERT_EQ(Run(Words("one", 1, words)), 0) << errors_;
  ASSERT_EQ(Run(Words("two", 2, words)), 0) << errors_;
  ExpectClose(Read("two", 20, "model.safetensors"), Read("one", 20, "model.safetensors"), 1e-8);
  ExpectSameState(State("two", 20), State("one", 20));
}

TEST_F(Ranks, AreToldOfByADryRun) {
  std::vector<std::string> words = Words("run", 3);
  words.push_back("--dry-run");
  ASSERT_EQ(Run(words), 0) << errors_;
  EXPECT_NE(output_.find("ranks       3: 8 to 12 rows of a batch each"), std::string::npos)
      << output_;
}

TEST_F(Ranks, CountTheBytesThatTheReadmeTells) {
  ASSERT_EQ(Run(Words("two", 2, {"train.precision=fp32"})), 0) << errors_;
  std::int64_t parameters = 0;
  for (const auto& [name, tensor] : Read("two", 20, "model.safetensors")) {
    if (name != "logit_scale") parameters += tensor.numel();
  }
  const auto metrics = Metrics("two");
  const auto per_step = [&](const char* key) {
    return (metrics[19].at(key).get<std::int64_t>() - metrics[9].at(key).get<std::int64_t>()) / 10;
  };
  // Loss, contrastive loss, in-batch accuracy, ln u, first visits, dL/dt.
  const std::int64_t rows = 32, width = 16, scalars = 6;
  EXPECT_EQ(per_step("gathered_bytes"), 2 * rows * width * 4 + 2 * rows * 4);
  // Besides gradients and scalars: the wish to talk, the skips of the line itself, and where some
  // rank's batch was not at hand the agreement to go on.
  const std::int64_t wish = 8, skips = 8 * kSkipCauses, agreement = 8;
  const std::int64_t least = parameters * 4 + scalars * 8 + wish + skips;
  EXPECT_GE(per_step("summed_bytes"), least);
  EXPECT_LE(per_step("summed_bytes"), least + agreement);
}

TEST_F(Ranks, ResumeOnAnyNumberOfThem) {
  ASSERT_EQ(Run(Words("whole", 1)), 0) << errors_;
  std::size_t lines = 0;
  for (const int ranks : {2, 1}) {
    Program program(folder_.path(), Words("cut", ranks, {"resume=true"}));
    lines += 6;
    while (program.running() && Metrics("cut").size() < lines) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    program.Signal(SIGTERM);
    ASSERT_EQ(program.Wait(), 128 + SIGTERM) << program.errors();
    EXPECT_NE(program.errors().find("stopped at step "), std::string::npos) << program.errors();
  }
  ASSERT_EQ(Run(Words("cut", 4, {"resume=true"})), 0) << errors_;
  EXPECT_NE(errors_.find("trained before with 1 thread on 1 rank, now with 1 thread on 4 ranks"),
            std::string::npos)
      << errors_;
  ExpectClose(Read("cut", 20, "model.safetensors"), Read("whole", 20, "model.safetensors"), 1e-8);
  ExpectSameState(State("cut", 20), State("whole", 20));
  EXPECT_EQ(Metrics("cut").size(), Metrics("whole").size());
}

TEST_F(Ranks, StopTogetherWhereOneIsAsked) {
  Program program(folder_.path(), Words("run", 3, {"train.epochs=10000"}));
  while (program.running() && Metrics("run").size() < 3) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const std::vector<int> children = program.Children();
  ASSERT_EQ(children.size(), 3u) << program.errors();
  kill(children[1], SIGUSR1);
  EXPECT_EQ(program.Wait(), 128 + SIGUSR1) << program.errors();
  EXPECT_NE(program.errors().find("stopped at step "), std::string::npos) << program.errors();
  EXPECT_EQ(Checkpoints("run").size(), 1u);
}

TEST_F(Ranks, NameTheOneThatWasKilled) {
  for (const int victim : {0, 2}) {
    const std::string run = "run" + std::to_string(victim);
    Program program(folder_.path(), Words(run, 3, {"train.epochs=10000"}));
    while (program.running() && Metrics(run).size() < 3) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const std::vector<int> children = program.Children();
    ASSERT_EQ(children.size(), 3u) << program.errors();
    kill(children[static_cast<std::size_t>(victim)], SIGKILL);
    EXPECT_EQ(program.Wait(), 128 + SIGKILL);
    const std::string errors = program.errors();
    EXPECT_NE(errors.find("rank " + std::to_string(victim) + " was killed by signal 9"),
              std::string::npos)
        << errors;
    EXPECT_NE(errors.find(victim == 0 ? "train: rank 1: rank 0's store does not answer at step "
                                      : "train: rank 1: rank 2 did not answer at step "),
              std::string::npos)
        << errors;
  }
}

TEST_F(Ranks, NameTheOneThatHangs) {
  for (const int victim : {0, 1}) {  // rank 0 holds the store
    const std::string run = "run" + std::to_string(victim);
    Program program(folder_.path(), Words(run, 2, {"train.epochs=10000", "comm.timeout=2"}));
    while (program.running() && Metrics(run).size() < 3) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    const std::vector<int> children = program.Children();
    ASSERT_EQ(children.size(), 2u) << program.errors();
    kill(children[static_cast<std::size_t>(victim)], SIGSTOP);
    EXPECT_EQ(program.Wait(), 128 + SIGKILL) << "the launcher ends the one that hangs";
    EXPECT_NE(
        program.errors().find(victim == 1 ? "rank 0: rank 1 did not answer at step "
                                          : "rank 1: rank 0's store does not answer at step "),
        std::string::npos)
        << program.errors();
  }
}

TEST_F(Ranks, RefuseAWorldLargerThanTheLanes) {
  EXPECT_EQ(Run(Words("run", 4, {"data.lanes=2"})), 2) << errors_;
  EXPECT_NE(errors_.find("4 ranks cannot share 2 lanes of a batch of 32; set data.lanes = 4"),
            std::string::npos)
      << errors_;
  EXPECT_EQ(Run(Words("run", 2, {"data.lanes_per_rank=[5,2]"})), 2) << errors_;
  EXPECT_NE(errors_.find("lists 2 ranks with 7 lanes in total, but there are 2 ranks and 8 lanes"),
            std::string::npos)
      << errors_;
}

/// Two ranks started by hand, with what Open MPI would set.
class RanksByHand : public Ranks {
 protected:
  std::string FolderOf(int rank) {
    const std::string folder = folder_ / ("rank" + std::to_string(rank));
    std::filesystem::create_directories(folder);
    return folder;
  }
  std::unique_ptr<Program> Start(int rank, const std::vector<std::string>& words,
                                 const std::string& interface = "lo") {
    const std::map<std::string, std::string> variables = {
        {"OMPI_COMM_WORLD_RANK", std::to_string(rank)},
        {"OMPI_COMM_WORLD_SIZE", "2"},
        {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
        {"MASTER_PORT", std::to_string(port_)},
        {"GLOO_SOCKET_IFNAME", interface}};
    for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
    auto program =
        std::make_unique<Program>(FolderOf(rank), Words("run", 1, words), FolderOf(rank));
    for (const auto& [name, value] : variables) unsetenv(name.c_str());
    return program;
  }
  void ExpectBothSay(const std::string& what, int code) {
    for (int rank = 1; rank >= 0; --rank) {
      EXPECT_EQ(programs_[rank]->Wait(), code);
      const std::string errors = programs_[rank]->errors();
      EXPECT_NE(errors.find("rank " + std::to_string(rank) + ": " + what), std::string::npos)
          << errors;
    }
  }

  const int port_ = 20'000 + getpid() % 20'000;  // other clones test at the same time
  std::unique_ptr<Program> programs_[2];
};

TEST_F(RanksByHand, RefuseConfigsThatDiffer) {
  for (int rank : {0, 1}) programs_[rank] = Start(rank, {"train.seed=" + std::to_string(rank + 1)});
  ExpectBothSay("the ranks differ: train.seed is 2 on rank 1, but 1 on rank 0", 1);
}

TEST_F(RanksByHand, TakeKeysThatFitTheirHostAsTheyAre) {
  programs_[0] = Start(0, {"train.epochs=1", "pipeline.read_ahead=0", "pipeline.prefetch=2"});
  programs_[1] = Start(1, {"train.epochs=1", "comm.patience=1000"});
  for (const auto& program : programs_) EXPECT_EQ(program->Wait(), 0) << program->errors();
}

TEST_F(RanksByHand, RefuseAListThatOneOfThemDoesNotHave) {
  for (const std::string key : {"data.val", "eval.zeroshot"}) {
    programs_[0] = Start(0, {key + "=synthetic:40", "eval.zeroshot_classes=imagenet"});
    programs_[1] = Start(1, {"eval.zeroshot_classes=imagenet"});
    ExpectBothSay("the ranks differ: " + key + " is empty on rank 1, but set on rank 0", 1);
  }
}

TEST_F(RanksByHand, TakeTheSameDataAtAPathOfTheirOwn) {
  Members pairs, labeled;
  for (int i = 0; i < 64; ++i) {
    pairs.emplace_back(std::to_string(i) + ".png", AsString(PngOf(i)));
    pairs.emplace_back(std::to_string(i) + ".txt", "picture " + std::to_string(i));
  }
  for (int i = 0; i < 8; ++i) {
    labeled.emplace_back(std::to_string(i) + ".png", AsString(PngOf(i)));
    labeled.emplace_back(std::to_string(i) + ".cls", std::to_string(i % 2));
  }
  std::ofstream(folder_ / "classes.txt") << "even\nodd\n";
  for (int rank : {0, 1}) {
    const std::string shard = FolderOf(rank) + "/pairs.tar",
                      images = FolderOf(rank) + "/images.tar";
    WriteShard(shard, pairs);
    WriteShard(images, labeled);
    programs_[rank] =
        Start(rank, {"train.epochs=1", "data.train=" + shard, "data.val=" + shard,
                     "data.manifest=" + FolderOf(rank) + "/index", "eval.zeroshot=" + images,
                     "eval.zeroshot_classes=" + (folder_ / "classes.txt")});
  }
  for (const auto& program : programs_) EXPECT_EQ(program->Wait(), 0) << program->errors();
}

TEST_F(RanksByHand, RefuseDataThatDiffer) {
  for (int rank : {0, 1}) {  // hosts that hold copies, and one of them another
    std::ofstream(FolderOf(rank) + "/0.jpg") << "an image";
    std::ofstream table(FolderOf(rank) + "/pairs.tsv");
    table << "filepath\ttitle\n";
    for (int i = 0; i < 200; ++i) table << i << ".jpg\ta picture of " << i * (rank + 1) << "\n";
  }
  for (int rank : {0, 1}) programs_[rank] = Start(rank, {"data.train=pairs.tsv"});
  ExpectBothSay("the ranks differ: the hash of data.train is ", 1);
}

TEST_F(RanksByHand, WaitForOneThatComesLate) {
  programs_[0] = Start(0, {"train.epochs=1"});
  const auto waiting = [&] {
    return programs_[0]->errors().find("waiting for rank 1 of 2") != std::string::npos;
  };
  while (programs_[0]->running() && !waiting()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(waiting()) << programs_[0]->errors();
  programs_[1] = Start(1, {"train.epochs=1"});
  EXPECT_EQ(programs_[1]->Wait(), 0) << programs_[1]->errors();
  EXPECT_EQ(programs_[0]->Wait(), 0) << programs_[0]->errors();
}

TEST_F(RanksByHand, NameOneThatIsAbsent) {
  programs_[0] = Start(0, {"comm.join_timeout=2"});
  EXPECT_EQ(programs_[0]->Wait(), 75);
  EXPECT_NE(programs_[0]->errors().find("rank 0: rank 1 of 2 did not join in time"),
            std::string::npos)
      << programs_[0]->errors();
}

TEST_F(RanksByHand, NameAPortInUse) {
  const int held = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  address.sin_port = htons(static_cast<std::uint16_t>(port_));
  const int reuse = 1;
  setsockopt(held, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
  ASSERT_EQ(bind(held, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(held, 1), 0);
  programs_[0] = Start(0, {});
  EXPECT_EQ(programs_[0]->Wait(), 75);
  EXPECT_NE(programs_[0]->errors().find("rendezvous store 127.0.0.1:" + std::to_string(port_) +
                                        " cannot be opened: "),
            std::string::npos)
      << programs_[0]->errors();
  close(held);
}

TEST_F(RanksByHand, HearOfAnInterfaceThatOneOfThemDoesNotHave) {
  programs_[0] = Start(0, {});
  programs_[1] = Start(1, {}, "nosuch0");
  const std::string what = "GLOO_SOCKET_IFNAME: interface 'nosuch0' is not up on";
  EXPECT_EQ(programs_[1]->Wait(), 1);
  EXPECT_NE(programs_[1]->errors().find("rank 1: " + what), std::string::npos)
      << programs_[1]->errors();
  EXPECT_EQ(programs_[0]->Wait(), 75);
  const std::string errors = programs_[0]->errors();
  EXPECT_NE(errors.find("rank 0: rank 1 on "), std::string::npos) << errors;
  EXPECT_NE(errors.find(" failed at step 0: " + what), std::string::npos) << errors;
}

TEST_F(RanksByHand, RefuseARunFolderThatTheyDoNotShare) {
  for (int rank : {0, 1}) programs_[rank] = Start(rank, {"run=own"});  // each in its own folder
  EXPECT_EQ(programs_[1]->Wait(), 1);
  EXPECT_EQ(programs_[0]->Wait(), 75);
  for (const auto& program : programs_) {
    EXPECT_NE(program->errors().find("rank 1: the run folder own on "), std::string::npos)
        << program->errors();
  }
}

}  // namespace
}  // namespace fastclip
