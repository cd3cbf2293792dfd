"""Finds the SDK's classes of a resource type, loading a package's modules only when a type of them is seen."""

from __future__ import annotations

import functools
import importlib
import sys
import typing
from collections.abc import Mapping
from typing import Any

from pulumi import _types
from pulumi.runtime import rpc

PROVIDER = "pulumi:providers:"


@functools.cache
def inputs_class(token: str) -> type:
    """The SDK's class of inputs of a resource type or provider. Raises LookupError, with what is unknown."""
    if is_custom_object(token):
        return _args_of(_member("pulumi_kubernetes.apiextensions", "CustomResource"))
    return _args_of(resource_class(token))


@functools.cache
def resource_class(token: str) -> type:
    """The SDK's resource class of a type (`aws:ec2/vpc:Vpc`) or provider (`pulumi:providers:aws`); else LookupError."""
    if is_custom_object(token):
        return _member("pulumi_kubernetes.apiextensions", "CustomResource")
    package = token.removeprefix(PROVIDER).split(":")[0]
    _load(package)
    if token.startswith(PROVIDER):
        return _member(*_provider_class(package))
    for module in rpc._RESOURCE_MODULES.get(token.rpartition(":")[0], []):
        name = module.mod_info["classes"].get(token)  # type: ignore[attr-defined]
        if name:
            return _member(module.mod_info["fqn"], name)  # type: ignore[attr-defined]
    raise LookupError(f"the {package} SDK has no resource type {token}")


def is_custom_object(token: str) -> bool:
    """Whether a token is a Kubernetes object of a CRD, which the SDK has no class for: its group has a domain."""
    package, _, rest = token.partition(":")
    if package != "kubernetes" or token.count(":") != 2:
        return False
    _load(package)
    return "." in rest.split("/")[0] and token.rpartition(":")[0] not in rpc._RESOURCE_MODULES


@functools.cache
def members(cls: type) -> Mapping[str, Any]:
    """The properties of an SDK class of inputs or outputs: camelCase name to annotation."""
    return _types._raw_return_hints(cls)


def _args_of(cls: type) -> type:
    """The class of a resource class's inputs: `VpcArgs`, or Kubernetes' `ConfigMapInitArgs`."""
    module = sys.modules[cls.__module__]
    found = getattr(module, f"{cls.__name__}InitArgs", None) or getattr(module, f"{cls.__name__}Args", None)
    if not isinstance(found, type):
        raise LookupError(f"{cls.__module__}.{cls.__name__} has no class of inputs")
    return found


def _member(module: str, name: str) -> type:
    return typing.cast("type", getattr(importlib.import_module(module), name))


@functools.cache
def _load(package: str) -> None:
    if package not in rpc._RESOURCE_PACKAGES:
        try:
            importlib.import_module(f"pulumi_{package.replace('-', '_')}")
        except ModuleNotFoundError:
            raise LookupError(f"no SDK is installed for the package {package}") from None


def _provider_class(package: str) -> tuple[str, str]:
    for found in rpc._RESOURCE_PACKAGES.get(package, []):
        return found.pkg_info["fqn"], found.pkg_info["class"]  # type: ignore[attr-defined]
    raise LookupError(f"no SDK is installed for the package {package}")
