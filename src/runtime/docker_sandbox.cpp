#include "runtime/docker_sandbox.h"

#include <unistd.h>

#include <csignal>
#include <utility>

#include "core/json.h"
#include "core/text.h"
#include "runtime/mounts.h"

namespace moat::runtime {
namespace {

constexpr Milliseconds for_ever{0};
constexpr size_t max_shown_words = 500;  // of moat-init's own, in an error of ours

}  // namespace

DockerSandbox::DockerSandbox(Loop& loop, DockerApi& api, std::string init_path, SandboxSpec spec,
                             SandboxObserver& observer, std::string& digest)
    : SandboxBase(loop, observer),
      api_(api),
      init_path_(std::move(init_path)),
      spec_(std::move(spec)),
      digest_(digest),
      ask_ipv6_(access("/proc/sys/net/ipv6", F_OK) == 0) {}

DockerSandbox::~DockerSandbox() {
  if (waiting_ != 0) api_.cancel(waiting_);
  // Nobody waits for this; should it not come about, Engine::remove_leftovers does it.
  if (!id_.empty()) api_.remove_container(id_, [](const auto&) {});
}

void DockerSandbox::start() {
  auto checked = check_image_reference(spec_.image);
  if (checked) checked = check_mounts(spec_.mounts);
  if (checked) return inspect_image();
  loop().defer([this, alive = life(), failure = checked.error()] {
    if (!alive.expired()) fail(failure);
  });
}

void DockerSandbox::call(const char* method, const std::string& path, const std::string& body,
                         Milliseconds limit, void (DockerSandbox::*then)(const FetchResponse&)) {
  api_.call(method, path, body, limit, [this, alive = life(), then](auto response) {
    if (alive.expired() || !may_go_on()) return;
    if (!response) return fail(response.error());
    (this->*then)(*response);
  });
}

std::string DockerSandbox::container_path(const char* rest) const {
  return "/containers/" + id_ + rest;
}

void DockerSandbox::inspect_image() {
  api_.negotiate([this, alive = life()](const auto& known) {
    if (alive.expired() || !may_go_on()) return;
    if (!known) return fail(known.error());
    call("GET", "/images/" + spec_.image + "/json", {}, DockerApi::patience,
         &DockerSandbox::on_image);
  });
}

void DockerSandbox::on_image(const FetchResponse& response) {
  if (response.status == 404)
    return fail(error(Errc::not_found,
                      "the image %s is not on this machine: fetch it with 'docker pull %s', or "
                      "without a network make it with 'docker import ROOTFS.tar %s'",
                      spec_.image.c_str(), spec_.image.c_str(), spec_.image.c_str()));
  if (response.status != 200) return fail(docker_error("look at the image", response));
  auto image = read_docker_image(response.body);
  if (!image) return fail(image.error());
  image_ = std::move(*image);
  digest_ = image_.id;
  merge_image(spec_, image_);
  if (spec_.command.empty())
    return fail(error(Errc::invalid,
                      "there is no command to run: name one after '--', for the image %s has none",
                      spec_.image.c_str()));
  create_container();
}

void DockerSandbox::create_container() {
  auto channel = open_channel(spec_, false);
  if (!channel) return fail(channel.error());
  DockerContainer container;
  container.image = image_.id;
  container.init_path = init_path_;
  container.socket_path = (*channel)->socket_path();
  container.token = (*channel)->token();
  container.ask_ipv6 = ask_ipv6_;
  const std::string body = docker_create_body(spec_, container).text();
  const std::string path =
      "/containers/create?name=" + url_escape(docker_container_name(spec_.run_id));
  // Not by call(): a container that is made after we have gone must go too.
  api_.call("POST", path, body, DockerApi::patience,
            [this, alive = life(), &api = api_](auto response) {
              if (!alive.expired() && !over()) {
                if (!response) return fail(response.error());
                return on_created(*response);
              }
              if (!response || response->status != 201) return;
              if (const auto made = Json::parse(response->body))
                api.remove_container(url_escape((*made)["Id"].string()), [](const auto&) {});
            });
}

void DockerSandbox::on_created(const FetchResponse& response) {
  if (try_without_ipv6(response)) return;
  if (response.status != 201) return fail(docker_error("make the container", response));
  const auto made = Json::parse(response.body);
  if (made) id_ = url_escape((*made)["Id"].string());
  if (id_.empty())
    return fail(error(Errc::invalid, "the container engine does not say what it has made"));
  if (may_go_on()) attach();
}

// Some engines refuse the sysctls, and some kernels do not have them. Then the container is made
// again without: moat-init sees that there is no IPv6 and says so.
bool DockerSandbox::try_without_ipv6(const FetchResponse& response) {
  const bool about_ipv6 = response.body.find("sysctl") != std::string::npos ||
                          response.body.find("ipv6") != std::string::npos;
  if (!ask_ipv6_ || response.status < 400 || !about_ipv6) return false;
  ask_ipv6_ = false;
  attach_.reset();
  drop_channel();
  if (id_.empty()) {
    create_container();
    return true;
  }
  api_.remove_container(std::exchange(id_, {}), [this, alive = life()](const auto& removed) {
    if (alive.expired() || !may_go_on()) return;
    if (!removed) return fail(removed.error());
    create_container();
  });
  return true;
}

void DockerSandbox::attach() {
  const std::string path = api_.version().prefix + container_path("/attach?stream=1&stdout=1") +
                           (spec_.open_stdin ? "&stderr=1&stdin=1" : "&stderr=1");
  DockerAttach::Observer& observer = *this;
  auto opened = DockerAttach::open(loop(), api_.socket_path(), path, observer);
  if (!opened) return fail(opened.error());
  attach_ = std::move(*opened);
}

void DockerSandbox::on_attached() {
  if (may_go_on()) start_container();
}

void DockerSandbox::start_container() {
  call("POST", container_path("/start"), {}, DockerApi::patience,
       &DockerSandbox::on_container_started);
}

void DockerSandbox::on_container_started(const FetchResponse& response) {
  if (try_without_ipv6(response)) return;
  if (response.status / 100 != 2) return fail(docker_error("start the container", response));
  running_ = true;
  wait_for_end();
}

void DockerSandbox::wait_for_end() {
  waiting_ = api_.call("POST", container_path("/wait"), {}, for_ever,
                       [this, alive = life()](auto response) {
                         if (alive.expired()) return;
                         waiting_ = 0;
                         running_ = false;
                         if (!response) return fail(response.error());
                         on_waited(*response);
                       });
}

void DockerSandbox::on_waited(const FetchResponse& response) {
  if (response.status != 200) return fail(docker_error("wait for the container", response));
  const auto json = Json::parse(response.body);
  if (!json || !(*json)["StatusCode"].is_number())
    return fail(error(Errc::invalid, "the container engine does not say how the container ended"));
  if (attach_) attach_->drain();
  process_ended(static_cast<int>((*json)["StatusCode"].integer()));
}

void DockerSandbox::on_exited(ExitStatus status) {
  if (attach_) attach_->drain();
  SandboxBase::on_exited(status);
}

void DockerSandbox::pause_streams() {
  paused_ = true;
  if (attach_ && started()) attach_->pause();
}

void DockerSandbox::resume_streams() {
  paused_ = false;
  if (attach_ && started()) attach_->resume();
}

void DockerSandbox::release_output() {
  if (!attach_) return;
  if (paused_) attach_->pause();
  attach_->release();
}

bool DockerSandbox::write_stream(std::string_view bytes) {
  return !attach_ || over() || attach_->write(bytes);
}

void DockerSandbox::end_stream() {
  if (attach_) attach_->end_writing();
}

void DockerSandbox::kill_process() {
  if (!running_) return;  // the next step sees that it was killed
  // Not by call(): what was killed has its end and its output still to come.
  const auto answered = [this, alive = life()](const Result<FetchResponse>& response) {
    if (alive.expired()) return;
    if (!response) return fail(response.error());
    // 409: it has ended meanwhile, and the wait says so.
    const int status = response->status;
    if (status / 100 != 2 && status != 404 && status != 409)
      fail(docker_error("kill the container", *response));
  };
  api_.call("POST", container_path("/kill?signal=KILL"), {}, DockerApi::patience, answered);
}

void DockerSandbox::let_go() {
  if (waiting_ != 0) api_.cancel(std::exchange(waiting_, 0));
  // From the loop, for we may be in a callback of it.
  loop().defer([attach = std::shared_ptr<DockerAttach>(std::move(attach_))] {});
}

Error DockerSandbox::explain(const Error& error) {
  const std::string held = attach_ ? attach_->held_stderr(max_shown_words) : std::string();
  const std::string words = printable(trim(held));
  if (words.empty()) return error;
  return moat::error(error.code, "%s: %s", error.message.c_str(), words.c_str());
}

void DockerSandbox::on_attach_output(OutputStream stream, std::string_view bytes) {
  if (!over()) observer().on_output(stream, bytes);
}

void DockerSandbox::on_attach_end() {
  output_ended();
}

void DockerSandbox::on_attach_drained() {
  if (!on_stdin_drained) return;
  const auto drained = on_stdin_drained;  // it may destroy us
  drained();
}

void DockerSandbox::on_attach_failed(const Error& error) {
  fail(error);
}

void DockerSandbox::remove(std::function<void(Result<void>)> done) {
  if (id_.empty()) return loop().defer([done = std::move(done)] { done({}); });
  api_.remove_container(std::exchange(id_, {}), std::move(done));
}

}  // namespace moat::runtime
