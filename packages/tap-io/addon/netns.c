/*
 * Work inside another network namespace. setns() changes the namespace of one thread, so the work is done on a thread that
 * is made for it and ends with it: the thread that called never leaves its own. What was opened in there - a socket, a TAP -
 * stays in that namespace whoever uses it.
 */
#include "tun-tap.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

struct visit {
  int ns;
  int error;
  void (*work)(void *);
  void *arg;
};

static void *visit(void *arg) {
  struct visit *v = arg;
  if (setns(v->ns, CLONE_NEWNET) != 0) v->error = errno;
  else v->work(v->arg);
  return NULL;
}

int in_netns(int ns, void (*work)(void *), void *arg) {
  if (ns < 0) {
    work(arg);
    return 0;
  }
  struct visit v = {.ns = ns, .work = work, .arg = arg};
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all, before;
  int error = pthread_attr_init(&attributes);
  if (error != 0) return error;
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  /* The thread inherits a mask that blocks everything: signals are for the threads of the process that stay. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  error = pthread_create(&thread, &attributes, visit, &v);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (error != 0) return error;
  pthread_join(thread, NULL);
  return v.error;
}

int netns_remove(const char *path) {
  /* EINVAL: a name without a namespace, as one leaves that died in the middle of this. */
  if (umount2(path, MNT_DETACH) != 0 && errno != EINVAL) return errno;
  return unlink(path) == 0 ? 0 : errno;
}
