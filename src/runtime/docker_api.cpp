#include "runtime/docker_api.h"

#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "core/json.h"

namespace moat::runtime {
namespace {

// A host of that name is in no request line; HTTP/1.1 wants one in the Host header.
constexpr const char* base_url = "http://docker";

// Several removals that are one to whoever asked.
struct Removal {
  int left = 0;
  int removed = 0;
  std::optional<Error> failure;
  std::function<void(Result<int>)> done;

  void step(const Result<void>& result) {
    if (result) ++removed;
    if (!result && !failure) failure = result.error();
    if (--left > 0) return;
    if (failure) return done(*failure);
    done(removed);
  }
};

}  // namespace

DockerApi::DockerApi(Loop& loop, std::string socket_path)
    : loop_(loop), socket_path_(std::move(socket_path)), fetcher_(loop) {}

Result<void> DockerApi::check_socket() const {
  if (access(socket_path_.c_str(), R_OK | W_OK) == 0) return {};
  if (errno == EACCES)
    return error(Errc::denied,
                 "the Docker socket %s is not open to this user: join the group docker ('usermod "
                 "-aG docker USER', then log in again), use a rootless engine, or --runtime "
                 "bubblewrap",
                 socket_path_.c_str());
  return error(Errc::not_found,
               "there is no Docker socket at %s: start the engine ('systemctl start docker'), set "
               "DOCKER_HOST, or use --runtime bubblewrap",
               socket_path_.c_str());
}

Error DockerApi::unreachable(const Error& cause) const {
  // The request itself is of no use to whoever reads this; what went wrong stands after it.
  const std::string_view message = cause.message;
  const std::string before_reason = socket_path_ + ": ";
  const size_t at = message.find(before_reason);
  const std::string reason(
      at == std::string_view::npos ? message : message.substr(at + before_reason.size()));
  return error(cause.code,
               "the container engine at %s does not answer (%s): see whether it runs ('systemctl "
               "status docker')",
               socket_path_.c_str(), reason.c_str());
}

void DockerApi::negotiate(Done done) {
  const bool known = !version_.prefix.empty();
  auto checked = known ? Result<void>() : check_socket();
  if (known || !checked) {
    loop_.defer([checked = std::move(checked), done = std::move(done)] { done(checked); });
    return;
  }
  call("GET", "/version", {}, patience, [this, done = std::move(done)](auto response) {
    if (!response) return done(response.error());
    if (response->status != 200) return done(docker_error("tell its version", *response));
    auto version = read_docker_version(response->body);
    if (!version) return done(version.error().in(socket_path_));
    version_ = std::move(*version);
    done({});
  });
}

uint64_t DockerApi::call(const char* method, const std::string& path, const std::string& body,
                         Milliseconds limit, Fetcher::Done done) {
  FetchRequest request;
  request.method = method;
  request.url = base_url + version_.prefix + path;
  request.unix_socket = socket_path_;
  request.body = body;
  if (!body.empty()) request.headers.emplace_back("Content-Type", "application/json");
  request.limit = limit;
  return fetcher_.fetch(std::move(request), [this, done = std::move(done)](auto response) {
    if (!response) return done(unreachable(response.error()));
    done(std::move(response));
  });
}

void DockerApi::remove_container(const std::string& id, Done done) {
  call("DELETE", "/containers/" + id + "?force=1&v=1", {}, patience,
       [done = std::move(done)](auto response) {
         if (!response) return done(response.error());
         // 404: it is gone; 409: somebody else is removing it.
         const int status = response->status;
         if (status / 100 == 2 || status == 404 || status == 409) return done({});
         done(docker_error("remove the container", *response));
       });
}

void DockerApi::remove_run(const std::string& run_id, std::function<void(Result<int>)> done) {
  Json filters = Json::object();
  const std::string label = std::string(docker_run_label) + "=" + run_id;
  filters.set("label", std::vector<std::string>{label});
  const std::string path = "/containers/json?all=1&filters=" + url_escape(filters.text());
  call("GET", path, {}, patience, [this, done = std::move(done)](auto response) {
    if (!response) return done(response.error());
    if (response->status != 200) return done(docker_error("list its containers", *response));
    const auto list = Json::parse(response->body);
    if (!list) return done(list.error().in("the container engine's list of containers"));
    auto removal = std::make_shared<Removal>();
    removal->left = static_cast<int>(list->view().size());
    removal->done = done;
    if (removal->left == 0) return done(0);
    for (const auto container : list->view().elements())
      remove_container(url_escape(container["Id"].string()),
                       [removal](const auto& result) { removal->step(result); });
  });
}

}  // namespace moat::runtime
