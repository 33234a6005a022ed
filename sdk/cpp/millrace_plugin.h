/* Plug-ins: executors in C or C++, in a shared object that `millrace-worker --plugin FILE.so` takes in.
 *
 * A plug-in exports one function, millrace_plugin_describe(). Its code never runs inside the worker: the worker starts
 * `slots` processes for it, each of which serves one task at a time and stays warm. A crash is one failed task; a task
 * that is cancelled or timed out has its process killed. Standard output and error are the task's log.
 *
 * Promises: what the task gives out lives until run() returns. Functions of millrace_api are for the thread that run()
 * was called on. run() must call succeed() or fail() once; without either the task fails. A C++ exception that leaves
 * run() fails the task with its what(). Texts are UTF-8, values are JSON. Versions: MILLRACE_PLUGIN_ABI stands in the
 * description. A worker refuses any other than its own at its start, and says so. Within a version, millrace_api only
 * grows at its end: what a header of today has more is not there in the workers of yesterday.
 */
#ifndef MILLRACE_PLUGIN_H
#define MILLRACE_PLUGIN_H

#include <stddef.h>

#define MILLRACE_PLUGIN_ABI 1u

#ifdef __cplusplus
extern "C" {
#endif

typedef struct millrace_task millrace_task;

typedef struct millrace_api {
  unsigned abi;
  const char* (*with_json)(const millrace_task* task, size_t* size);   /* what the node's `with` says */
  const char* (*inputs_json)(const millrace_task* task, size_t* size); /* the run's inputs, an object */
  const char* (*output_json)(const millrace_task* task, const char* node,
                             size_t* size); /* NULL: not before this node */
  const char* (*node)(const millrace_task* task);
  const char* (*run)(const millrace_task* task);
  unsigned (*attempt)(const millrace_task* task);
  void (*progress)(millrace_task* task, const char* json, size_t size); /* an event for whoever watches */
  void (*succeed)(millrace_task* task, const char* json, size_t size);
  void (*fail)(millrace_task* task, const char* message, size_t size);
  const char* (*item_json)(const millrace_task* task, size_t* size); /* of a node with `foreach`; NULL elsewhere */
  size_t (*index)(const millrace_task* task);                        /* of the item, from 0 */
  /* Hands a file over, which is kept as long as the run: `size` bytes under a name, or the file at a path (`name` NULL:
   * its own). `content_type` may be NULL. Later ones of a task take the place of earlier ones with the same name.
   * 1: it was taken in; 0: it was not, and problem() says why. */
  int (*artifact)(millrace_task* task, const char* name, const char* content_type, const char* data, size_t size);
  int (*artifact_file)(millrace_task* task, const char* path, const char* name, const char* content_type);
  /* A secret of the worker, from now on `***` in all that the task says; NULL: it knows none, see problem(). */
  const char* (*secret)(millrace_task* task, const char* name, size_t* size);
  const char* (*problem)(const millrace_task* task); /* of the last of these three; until the next */
} millrace_api;

typedef struct millrace_executor {
  const char* name; /* like a node id; workflows declare it under `executors` */
  void (*run)(const millrace_api* api, millrace_task* task);
} millrace_executor;

typedef struct millrace_plugin {
  unsigned abi; /* MILLRACE_PLUGIN_ABI */
  const millrace_executor* executors;
  size_t executors_count;
} millrace_plugin;

__attribute__((visibility("default"))) const millrace_plugin* millrace_plugin_describe(void);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif
