// Package packages_test installs what packaging makes and runs it: packages in a
// scratch root, a throw-away layer over this machine's files in namespaces of
// their own, booted by a real systemd; images in nothing but their own layers.
//
// The folder of packages is named by DOMICILE_PACKAGES (make packages-short). It
// needs root, a kernel with overlayfs, systemd, dpkg and rpm. What is missing skips
// by name; with DOMICILE_NEED_PACKAGES it fails.
package packages_test
