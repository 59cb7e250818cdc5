//! A path and its methods. A method that is not there is answered 405 with the ones that are.

use std::fmt;
use std::future::{Ready, ready};

use actix_web::http::Method;
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, web};

use super::error::ApiError;

/// One path; add its methods, then [`Self::build`] it into a scope.
pub struct Endpoint {
    path: &'static str,
    allow: Vec<Method>,
    routes: Vec<actix_web::Route>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("path", &self.path).field("allow", &self.allow).finish_non_exhaustive()
    }
}

impl Endpoint {
    #[must_use]
    pub const fn at(path: &'static str) -> Self {
        Self { path, allow: Vec::new(), routes: Vec::new() }
    }

    #[must_use]
    pub fn on<F, Args>(mut self, method: Method, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.routes.push(web::method(method.clone()).to(handler));
        self.allow.push(method);
        self
    }

    #[must_use]
    pub fn build(self) -> Resource {
        let allow = self.allow.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let refuse = web::to(move |request: HttpRequest| {
            let refusal = ApiError::MethodNotAllowed { method: request.method().to_string(), allow: allow.clone() };
            async move { Err::<HttpResponse, _>(refusal) }
        });
        self.routes.into_iter().fold(web::resource(self.path), Resource::route).default_service(refuse)
    }
}

/// The answer to a path that no route has.
///
/// # Errors
/// Always: 404.
pub fn unknown_path(request: HttpRequest) -> Ready<Result<HttpResponse, ApiError>> {
    let text = format!("{} is not a path of this API; /openapi.json lists them", request.path());
    drop(request);
    ready(Err(ApiError::NotFound(text)))
}
