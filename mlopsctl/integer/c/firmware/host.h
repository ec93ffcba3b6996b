/* Files of the machine that emulates this one. */
#ifndef HOST_H
#define HOST_H

enum { HOST_READ = 1, HOST_WRITE = 5 };

int host_open(const char *name, int length, int mode); /* a handle, or -1 */
int host_read(int file, void *to, int length);         /* how many bytes are missing */
int host_write(int file, const void *from, int length);
void host_exit(int well);

#endif
