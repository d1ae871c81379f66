#include "base/process_place.h"

#include <map>

#include "tests/support/catch.h"

using namespace uvic::base;
using Catch::Matchers::Contains;

namespace {

using Variables = std::map<std::string, std::string>;

ProcessPlace place_of(const Variables& variables) {
  return process_place([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

Variables operator+(Variables a, const Variables& b) {
  for (const auto& [name, value] : b) a[name] = value;
  return a;
}

const Variables kTorchrun = {{"RANK", "3"},
                             {"WORLD_SIZE", "4"},
                             {"LOCAL_RANK", "1"},
                             {"MASTER_ADDR", "a"},
                             {"MASTER_PORT", "123"}};
const Variables kOpenMpi = {{"OMPI_COMM_WORLD_RANK", "1"},
                            {"OMPI_COMM_WORLD_SIZE", "2"},
                            {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                            {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                            {"PMIX_NAMESPACE", "job7"}};
const Variables kSlurm = {{"SLURM_PROCID", "5"},
                          {"SLURM_NTASKS", "8"},
                          {"SLURM_LOCALID", "1"},
                          {"SLURM_NODELIST", "n[12-15]"}};

}  // namespace

TEST_CASE("without a launcher's variables a process is alone", "[processes]") {
  const auto place = place_of({{"WORLD_SIZE", "8"}});  // containers often have it
  CHECK(place.size == 1);
  CHECK(place.rank == 0);
  CHECK(place.launcher.empty());
}

TEST_CASE("torchrun's variables", "[processes]") {
  const auto place = place_of(kTorchrun);
  CHECK(place.rank == 3);
  CHECK(place.size == 4);
  CHECK(place.local_rank == 1);
  CHECK(place.host == "a");
  CHECK(place.port == 123);
  CHECK_FALSE(place.has_agent);
  CHECK(place_of(kTorchrun + Variables{{"TORCHELASTIC_USE_AGENT_STORE", "True"}}).has_agent);
  // All on this machine: no address is needed.
  CHECK(place_of({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_WORLD_SIZE", "2"}}).host ==
        "127.0.0.1");
  CHECK(place_of({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"LOCAL_WORLD_SIZE", "2"}}).port == 29500);
  CHECK_THROWS_WITH(place_of({{"RANK", "0"}, {"WORLD_SIZE", "2"}}),
                    Contains("MASTER_ADDR: not set"));
}

TEST_CASE("Open MPI's variables", "[processes]") {
  const auto place = place_of(kOpenMpi);
  CHECK(place.rank == 1);
  CHECK(place.size == 2);
  CHECK(place.launcher == "Open MPI");
  CHECK(place.host == "127.0.0.1");
  // A port for each job, below those of outgoing connections.
  CHECK(place.port >= 10000);
  CHECK(place.port < 30000);
  CHECK(place.port == place_of(kOpenMpi + Variables{{"OMPI_COMM_WORLD_RANK", "0"}}).port);
  CHECK(place.port != place_of(kOpenMpi + Variables{{"PMIX_NAMESPACE", "job8"}}).port);
  const Variables two_hosts = kOpenMpi + Variables{{"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}};
  CHECK_THROWS_WITH(place_of(two_hosts), Contains("mpirun -x MASTER_ADDR=HOST"));
  CHECK(place_of(two_hosts + Variables{{"MASTER_ADDR", "b"}}).host == "b");
}

TEST_CASE("Slurm's variables, and its batch script", "[processes]") {
  const auto place = place_of(kSlurm);
  CHECK(place.rank == 5);
  CHECK(place.size == 8);
  CHECK(place.local_rank == 1);
  CHECK(place.host == "n12");
  const auto step = place_of(kSlurm + Variables{{"SLURM_JOB_ID", "9"},
                                                {"SLURM_STEP_ID", "0"},
                                                {"SLURM_STEP_NUM_TASKS", "6"},
                                                {"SLURM_STEP_NODELIST", "m3"}});
  CHECK(step.size == 6);
  CHECK(step.host == "m3");
  const auto batch = place_of(kSlurm + Variables{{"SLURM_JOB_ID", "9"}, {"SLURM_PROCID", "0"}});
  CHECK(batch.size == 1);
  CHECK_THAT(batch.note, Contains("srun"));
  // A launcher inside Slurm's allocation is the one that counts.
  CHECK(place_of(kSlurm + kOpenMpi).launcher == "Open MPI");
  CHECK(place_of(kSlurm + kTorchrun).launcher == "torchrun");
}

TEST_CASE("the first host of Slurm's lists", "[processes]") {
  CHECK(first_host("login") == "login");
  CHECK(first_host("b,a") == "b");
  CHECK(first_host("n[004-007,9],login") == "n004");
  CHECK(first_host("n[5,7]") == "n5");
  CHECK(first_host("rack[1-2]n[01-04]-ib") == "rack1n01-ib");
  CHECK_THROWS_WITH(first_host("n[1-2"), Contains("no ]"));
}

TEST_CASE("unusable variables are named", "[processes]") {
  CHECK_THROWS_WITH(place_of(kTorchrun + Variables{{"RANK", "x"}}), Contains("RANK is \"x\""));
  CHECK_THROWS_WITH(place_of(kTorchrun + Variables{{"RANK", "4"}}),
                    Contains("RANK is 4") && Contains("0 to 3"));
  CHECK_THROWS_WITH(place_of(kTorchrun + Variables{{"WORLD_SIZE", "0"}}), Contains("WORLD_SIZE"));
  CHECK_THROWS_WITH(place_of(kTorchrun + Variables{{"MASTER_PORT", "70000"}}),
                    Contains("MASTER_PORT"));
}
