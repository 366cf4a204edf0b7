/*
 * Work inside another network namespace. setns() changes the namespace of one thread, so the work is done on a thread that
 * is made for it and ends with it: the thread that called never leaves its own. What was opened in there - a socket, a TAP -
 * stays in that namespace whoever uses it.
 */
#include "tun-tap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct visit {
  int ns; /* MADE_HERE: one that is new */
  int error;
  void (*work)(void *);
  void *arg;
};

enum { MADE_HERE = -2 };

static void *visit(void *arg) {
  struct visit *v = arg;
  const int entered = v->ns == MADE_HERE ? unshare(CLONE_NEWNET) : setns(v->ns, CLONE_NEWNET);
  if (entered != 0) v->error = errno;
  else v->work(v->arg);
  return NULL;
}

int start_thread(pthread_t *thread, void *(*work)(void *), void *arg) {
  pthread_attr_t attributes;
  sigset_t all, before;
  int error = pthread_attr_init(&attributes);
  if (error != 0) return error;
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  /* The thread inherits a mask that blocks everything: signals are for the threads of the process that stay. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  error = pthread_create(thread, &attributes, work, arg);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return error;
}

static int send_visitor(struct visit *v) {
  pthread_t thread;
  const int error = start_thread(&thread, visit, v);
  if (error != 0) return error;
  pthread_join(thread, NULL);
  return v->error;
}

int in_netns(int ns, void (*work)(void *), void *arg) {
  if (ns < 0) {
    work(arg);
    return 0;
  }
  struct visit v = {.ns = ns, .work = work, .arg = arg};
  return send_visitor(&v);
}

struct naming {
  const char *path;
  int error;
};

static void name_this(void *arg) {
  struct naming *n = arg;
  if (mount("/proc/thread-self/ns/net", n->path, "none", MS_BIND, NULL) != 0) n->error = errno;
}

/* Has names in the directory of `path` seen in all mount namespaces that share it, as `ip netns add` has it: it is a mount of
 * its own, and a shared one. A lock keeps two that do so from each other. */
static int make_shared(const char *path) {
  char directory[PATH_SIZE];
  const char *slash = strrchr(path, '/');
  if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof directory) return EINVAL;
  memcpy(directory, path, (size_t)(slash - path));
  directory[slash - path] = 0;
  if (mkdir(directory, 0755) != 0 && errno != EEXIST) return errno;
  const int lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock < 0) return errno;
  int error = flock(lock, LOCK_EX) == 0 ? 0 : errno;
  bool made = false;
  while (error == 0 && mount("", directory, "none", MS_SHARED | MS_REC, NULL) != 0) {
    error = errno;
    if (error != EINVAL || made) break;
    error = mount(directory, directory, "none", MS_BIND | MS_REC, NULL) == 0 ? 0 : errno;
    made = true;
  }
  close(lock);
  return error;
}

int netns_make(const char *path) {
  int error = make_shared(path);
  if (error != 0) return error;
  const int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
  if (file < 0) return errno;
  close(file);
  struct naming n = {.path = path};
  struct visit v = {.ns = MADE_HERE, .work = name_this, .arg = &n};
  error = send_visitor(&v);
  if (error == 0) error = n.error;
  if (error != 0) unlink(path);
  return error;
}

int netns_remove(const char *path) {
  /* EINVAL: a name without a namespace, as one leaves that died in the middle of this. */
  if (umount2(path, MNT_DETACH) != 0 && errno != EINVAL) return errno;
  return unlink(path) == 0 ? 0 : errno;
}
