# Programs that are started by SSH show their windows on the screen of the VM.
if [ -z "${DISPLAY-}" ] && [ -S /tmp/.X11-unix/X0 ] && [ -d "/run/user/$(id -u)" ]; then
  XDG_RUNTIME_DIR=/run/user/$(id -u)
  export DISPLAY=:0 XDG_RUNTIME_DIR
fi
# There is no service for people who do not see, which GTK would look for each time.
export NO_AT_BRIDGE=1
